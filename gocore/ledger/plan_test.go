// The committee's plan, as laws: applied step by step to any swarm it settles, at an odd number, without ever leaving
// the living voters short of a majority.

package ledger

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func srv(n int) string { return serverID(peerNamed(n), "0123456789abcdef") }

// carryOut applies one step as Raft would.
func carryOut(t interface{ Fatalf(string, ...any) }, in *planInput, next step) {
	seats := in.Seats[:0:0]
	for _, s := range in.Seats {
		switch {
		case next.Kind == stepRemove && s.ID == next.Server:
			continue
		case next.Kind == stepPromote && s.ID == next.Server:
			s.Voter = true
		}
		seats = append(seats, s)
	}
	switch next.Kind {
	case stepAdd:
		seats = append(seats, seat{ID: serverID(next.Peer, "00000000000000ff"), Alive: true, Caught: true})
	case stepTransfer:
		in.Self = next.Server
	}
	in.Seats = seats
}

func TestAnyCommitteeSettlesAndKeepsItsMajority(t *testing.T) {
	for range 20 { // rapid stops at 100; some dangers are one in a thousand
		rapid.Check(t, settles)
	}
}

func settles(t *rapid.T) {
	in := planInput{Self: srv(0), Places: map[PeerID]applicant{}, Voters: rapid.SampledFrom([]int{0, 0, 1, 3, 5}).Draw(t, "fixed")}
	place := func(n int) applicant {
		return applicant{Peer: peerNamed(n), Site: fmt.Sprint("s", rapid.IntRange(0, 2).Draw(t, "site"))}
	}
	for n := range rapid.IntRange(1, 5).Draw(t, "voters") {
		s := seat{ID: srv(n), Voter: true, Alive: true}
		if n > 0 {
			s.Health = rapid.SampledFrom([]health{healthy, healthy, away, weak, departed}).Draw(t, "health")
			s.Alive = s.Health != away && (s.Health != departed || rapid.Bool().Draw(t, "alive"))
		}
		in.Places[peerNamed(n)] = place(n)
		if s.Health == healthy {
			in.Applicants = append(in.Applicants, in.Places[peerNamed(n)])
		}
		in.Seats = append(in.Seats, s)
	}
	for n := range rapid.IntRange(0, 4).Draw(t, "others") {
		in.Places[peerNamed(10+n)] = place(10 + n)
		in.Applicants = append(in.Applicants, in.Places[peerNamed(10+n)])
	}
	voters, alive := in.tally()
	if alive <= voters/2 {
		t.Skip("no majority to begin with: there is no leader")
	}
	for i := 0; ; i++ {
		next := plan(in)
		if next.Kind == stepNone {
			break
		}
		if i > 60 {
			t.Fatalf("it does not settle: %+v, then %+v", in.Seats, next)
		}
		if next.Kind == stepRemove && next.Server == in.Self {
			t.Fatalf("the leader removes itself")
		}
		carryOut(t, &in, next)
		if v, a := in.tally(); a <= v/2 {
			t.Fatalf("after %+v only %d of %d voters live", next, a, v)
		}
	}
	voters, alive = in.tally()
	dead := 0
	for _, s := range in.Seats {
		if !s.Voter {
			t.Fatalf("%s waits for ever", s.ID)
		}
		if s.Health == departed {
			dead++
		}
	}
	if voters%2 == 0 && alive-1 > (voters-1)/2 {
		t.Fatalf("it rests at %d voters: %+v", voters, in.Seats)
	}
	if dead > 0 && voters > 1 && alive-1 > (voters-1)/2 {
		t.Fatalf("a departed voter stays: %+v", in.Seats)
	}
}

func TestADeadVoterGoesOnlyAfterItsReplacementCame(t *testing.T) {
	in := planInput{Self: srv(0), Places: map[PeerID]applicant{}}
	for n := range 3 {
		in.Seats = append(in.Seats, seat{ID: srv(n), Voter: true, Alive: n < 2})
	}
	in.Seats[2].Health = departed
	for n := range 4 {
		if n != 2 {
			in.Applicants = append(in.Applicants, applicant{Peer: peerNamed(n)})
		}
	}
	var kinds []stepKind
	for next := plan(in); next.Kind != stepNone; next = plan(in) {
		kinds = append(kinds, next.Kind)
		carryOut(t, &in, next)
	}
	if fmt.Sprint(kinds) != "[add promote remove]" {
		t.Fatalf("%v", kinds)
	}
	// The replacement has not caught up yet.
	in.Seats = append(in.Seats[:2:2], seat{ID: srv(2), Voter: true, Health: departed}, seat{ID: srv(3), Alive: true})
	if next := plan(in); next.Kind != stepNone {
		t.Fatalf("it does not wait for the replacement: %+v", next)
	}
}

func TestAShrinkingSwarmLosesTheDeadVoterFirst(t *testing.T) {
	in := planInput{Self: srv(0), Places: map[PeerID]applicant{}}
	for n := range 3 {
		in.Seats = append(in.Seats, seat{ID: srv(n), Voter: true, Alive: n < 2})
	}
	in.Seats[2].Health = departed
	first := plan(in)
	carryOut(t, &in, first)
	second := plan(in)
	carryOut(t, &in, second)
	if (first != step{Kind: stepRemove, Server: srv(2)}) || (second != step{Kind: stepRemove, Server: srv(1)}) || plan(in).Kind != stepNone {
		t.Fatalf("%+v, %+v, %+v", first, second, plan(in))
	}
}

func TestADeadVoterIsRemovedBeforeOneThatLeaves(t *testing.T) {
	in := planInput{Self: srv(0), Places: map[PeerID]applicant{}}
	for n := range 5 {
		in.Seats = append(in.Seats, seat{ID: srv(n), Voter: true, Alive: n != 4})
	}
	in.Seats[3].Health, in.Seats[4].Health = departed, departed
	if next := plan(in); (next != step{Kind: stepRemove, Server: srv(4)}) {
		t.Fatalf("%+v", next)
	}
}

func TestNewVotersComeFromOtherSites(t *testing.T) {
	in := planInput{Self: srv(0), Places: map[PeerID]applicant{}, Seats: []seat{{ID: srv(0), Voter: true, Alive: true}}}
	for n, site := range []string{"a", "a", "a", "b", "b", "c"} {
		in.Places[peerNamed(n)] = applicant{Peer: peerNamed(n), Site: site}
		in.Applicants = append(in.Applicants, in.Places[peerNamed(n)])
	}
	in.Voters = 3
	for next := plan(in); next.Kind != stepNone; next = plan(in) {
		carryOut(t, &in, next)
	}
	sites := map[string]bool{}
	for _, s := range in.Seats {
		sites[in.Places[peerOf(s.ID)].Site] = true
	}
	if len(in.Seats) != 3 || len(sites) != 3 {
		t.Fatalf("%d voters on %d sites", len(in.Seats), len(sites))
	}
}

func TestGrowthWaitsUntilBothNewVotersHaveCaughtUp(t *testing.T) {
	in := planInput{Self: srv(0), Places: map[PeerID]applicant{}, Seats: []seat{
		{ID: srv(0), Voter: true, Alive: true}, {ID: srv(1), Alive: true, Caught: true}, {ID: srv(2), Alive: true}}}
	for n := range 3 {
		in.Applicants = append(in.Applicants, applicant{Peer: peerNamed(n)})
	}
	if next := plan(in); next.Kind != stepNone {
		t.Fatalf("it does not wait: %+v", next)
	}
	in.Seats[2].Caught = true
	if next := plan(in); next.Kind != stepPromote {
		t.Fatalf("%+v", next)
	}
}
