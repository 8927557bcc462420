// The committee over its life: founded, grown, replaced, shrunk, left.

package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestAFounderLeadsAtOnceAndItsCommitteeGrowsToFive(t *testing.T) {
	s := newSwarm(t)
	a := s.start(1, true)
	a.leads()
	a.votersAre(1)
	a.must(op("run", 0, "r"))
	s.start(2, false)
	b := s.node(peerNamed(2))
	b.holds("run", "r")
	a.votersAre(1) // two peers: one voter
	s.start(3, false)
	a.votersCount(3)
	s.start(4, false)
	s.start(5, false)
	a.votersCount(5)
	f := s.start(6, false)
	f.holds("run", "r")
	a.must(op("run", 1, "again"))
	for _, n := range s.running() {
		n.holds("run", "again")
		n.votersCount(5)
		indexesRise(t, n)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.events {
		if c, is := e.(Committee); is && len(c.Voters) > 5 {
			t.Fatalf("a committee of %d voters", len(c.Voters))
		}
	}
}

func TestAWipedVoterIsANewServerAndCannotVoteInItsOldName(t *testing.T) {
	s := newSwarm(t)
	dir := t.TempDir()
	a := s.start(1, true)
	a.leads()
	b := s.start(2, false, func(c *Config) { c.DataDir = dir })
	c := s.start(3, false)
	for _, n := range []*node{a, b, c} {
		n.votersCount(3)
	}
	old := b.Ledger.self
	b.kill()
	b = s.start(2, false) // its disk was lost
	if b.Ledger.self == old {
		t.Fatal("a lost log kept its name")
	}
	st := &stream{l: a.Ledger}
	if conn, err := st.Dial(raft.ServerAddress(old), within); err == nil {
		conn.Close()
		t.Fatal("the wiped voter answered under its old name")
	} else if r := new(refusal); !errors.As(err, &r) || r.reason != refusedServer {
		t.Fatalf("refused for another reason: %v", err)
	}
	for _, n := range []*node{a, b, c} {
		s.eventually("the new server is in place of the old", func() bool {
			_, fresh := n.Ledger.standing.committee().has(b.Ledger.self)
			stale, _ := n.Ledger.standing.committee().has(old)
			return fresh && !stale
		})
	}
}

func TestTwoSwarmsDoNotMerge(t *testing.T) {
	s := newSwarm(t)
	a := s.start(1, true)
	a.leads()
	b := s.start(2, true)
	b.leads()
	c := s.start(3, false)
	d := s.start(4, false)
	told := func(events []any) bool {
		for _, e := range events {
			if f, is := e.(Fault); is && strings.Contains(f.Error, "two swarms were started") {
				return true
			}
		}
		return false
	}
	a.seen("that there are two swarms", told)
	_, err := a.question(b.id, hello{Kind: kindAsk}, within)
	if r := new(refusal); !errors.As(err, &r) || r.reason != refusedLedger {
		t.Fatalf("the other founder answers: %v", err)
	}
	a.must(op("k", 0, "a"))
	b.must(op("k", 0, "b"))
	for _, n := range []*node{c, d} {
		n.seen("one of the two", func(events []any) bool { r, ok := newest[Record](events); return ok && r.Key == "k" })
		indexesRise(t, n)
	}
	ids := map[string]string{}
	for _, n := range []*node{a, b, c, d} {
		r, _ := n.Read("k")
		id := n.Ledger.stores.getFacts().Ledger
		if v, ok := ids[id]; ok && v != string(r.Value) {
			t.Fatalf("ledger %s holds both %s and %s", id, v, r.Value)
		}
		ids[id] = string(r.Value)
	}
	if len(ids) != 2 {
		t.Fatalf("%d ledgers", len(ids))
	}
}

func TestAnybodyWritesControlAndOnlyTheLeaderTheRest(t *testing.T) {
	s := newSwarm(t)
	s.tune = func(c *Config) { c.Voters = 3 }
	nodes := s.grow(4, 3)
	var watcher, follower *node
	chosen := nodes[0].Ledger.standing.committee().voterPeers()
	for _, n := range nodes[1:] {
		if slices.Contains(chosen, n.id) {
			follower = n
		} else {
			watcher = n
		}
	}
	watcher.must(op("control", 0, "paused"))
	follower.must(op("control/kick", 0, "x"))
	for _, n := range nodes {
		n.holds("control", "paused")
		n.holds("control/kick", "x")
	}
	if e := watcher.write(op("control", 0, "running")); e != Conflict {
		t.Fatalf("a control write at an old version: %q", e)
	}
	for _, n := range []*node{watcher, follower} {
		if e := n.write(op("round", 0, "x")); e != Denied {
			t.Fatalf("a watcher's write: %q", e)
		}
		if e := n.write(op("control", 1, "x"), op("round", 0, "x")); e != Denied {
			t.Fatalf("a mixed write: %q", e)
		}
		// Past its own check, the leader refuses it too.
		data, err := encodeCommand(newNonce(), []Op{op("round", 0, "x")})
		if err != nil {
			t.Fatal(err)
		}
		if e, err := n.forward(nodes[0].id, data, time.Now().Add(within)); e != Denied || err != nil {
			t.Fatalf("the leader: %q %v", e, err)
		}
	}
}

func TestARepeatedNonceCountsOnceAcrossTheWire(t *testing.T) {
	s := newSwarm(t)
	a := s.start(1, true)
	a.leads()
	b := s.start(2, false)
	b.seen("the leader", func(events []any) bool { l, ok := newest[Leader](events); return ok && l.Leader == a.id })
	data, err := encodeCommand(newNonce(), []Op{op("control", 0, "x")})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if e, err := b.forward(a.id, data, time.Now().Add(within)); e != OK || err != nil {
			t.Fatalf("%q %v", e, err)
		}
	}
	if r, _ := a.Read("control"); r.Version != 1 {
		t.Fatalf("version %d", r.Version)
	}
}

func TestABarrierEndsAfterTheRecordsBeforeIt(t *testing.T) {
	s := newSwarm(t)
	nodes := s.grow(3, 3)
	a := nodes[0]
	var writes []int64
	for i := range 30 {
		request, err := a.Write([]Op{op(fmt.Sprint("k", i), 0, "v")})
		if err != nil {
			t.Fatal(err)
		}
		writes = append(writes, request)
	}
	for _, request := range writes {
		a.written(request)
	}
	barrier, err := a.Barrier()
	if err != nil {
		t.Fatal(err)
	}
	a.seen("its barrier", func(events []any) bool {
		d, ok := newest[BarrierDone](events)
		return ok && d.Request == barrier && d.Error == OK
	})
	records := 0
	for _, e := range a.events {
		switch e := e.(type) {
		case Record:
			records++
		case BarrierDone:
			if records != 30 {
				t.Fatalf("%d records before the barrier %+v", records, e)
			}
		}
	}
	if _, err := nodes[1].Barrier(); err != nil {
		t.Fatal(err)
	}
	nodes[1].seen("a refusal", func(events []any) bool { d, ok := newest[BarrierDone](events); return ok && d.Error == NotLeader })
}

func TestALaggardIsBroughtUpBySnapshot(t *testing.T) {
	s := newSwarm(t)
	s.tune = func(c *Config) { c.SnapshotThreshold, c.TrailingLogs = 8, 4 }
	a := s.start(1, true)
	a.leads()
	for i := range 40 {
		a.must(op(fmt.Sprint("k", i%10), uint64(i/10), fmt.Sprint(i)))
	}
	if err := a.raft.Load().Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	first, err := a.stores.log.FirstIndex()
	if err != nil || first < 10 {
		t.Fatalf("the log begins at %d (%v): it was not compacted", first, err)
	}
	b, c := s.start(2, false), s.start(3, false)
	for _, n := range []*node{b, c} {
		n.votersCount(3)
		for i := 30; i < 40; i++ {
			n.holds(fmt.Sprint("k", i%10), fmt.Sprint(i))
		}
	}
	if first, err := b.stores.log.FirstIndex(); err != nil || first < 10 {
		t.Fatalf("peer 2 holds the log from %d (%v): it got no snapshot", first, err)
	}
	a.kill()
	s.gone(a.id, true, false)
	next := s.leader(b, c)
	next.must(op("k0", 4, "new"))
}

func TestLeadershipIsYielded(t *testing.T) {
	s := newSwarm(t)
	nodes := s.grow(3, 3)
	if err := nodes[0].Yield(); err != nil {
		t.Fatal(err)
	}
	next := s.leader(nodes[1:]...)
	nodes[0].seen("the new leader", func(events []any) bool { l, _ := newest[Leader](events); return l.Leader == next.id && !l.Me })
	next.must(op("k", 0, "v"))
	if err := nodes[0].Yield(); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("a follower yielded: %v", err)
	}
}

func TestVotersLeaveOneByOneAndTheLastHoldsTheLedger(t *testing.T) {
	s := newSwarm(t)
	nodes := s.grow(5, 5)
	nodes[0].must(op("k", 0, "v"))
	for i, n := range nodes[:4] {
		if err := n.Leave(within); err != nil {
			t.Fatalf("peer %d: %v", i+1, err)
		}
		s.gone(n.id, false, true)
		n.stop()
	}
	end := nodes[4]
	end.leads()
	end.votersAre(5)
	end.must(op("k", 1, "w"))
	if err := end.Leave(within); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyEligiblePeersBecomeVotersAndTheySpreadOverSites(t *testing.T) {
	s := newSwarm(t)
	s.tune = func(c *Config) { c.Voters = 3 }
	a := s.start(1, true)
	a.leads()
	sites := []string{"x", "x", "x", "y", "z"}
	places := func(eligible bool) {
		var all []Member
		for i, site := range sites {
			all = append(all, Member{ID: peerNamed(i + 1), Eligible: eligible || i == 0, Labels: map[string]string{"site": site}})
		}
		s.set(all...)
	}
	places(false)
	for i := range sites[1:] {
		n := s.start(i+2, false, func(c *Config) { c.Grace = time.Hour })
		places(false)
		n.seen("the leader", func(events []any) bool { l, _ := newest[Leader](events); return l.Leader == a.id })
	}
	places(true)
	a.votersAre(1, 4, 5)
}

func TestAVoterThatStaysAwayIsReplacedAfterTheGrace(t *testing.T) {
	s := newSwarm(t)
	nodes := s.grow(4, 3)
	chosen := nodes[0].Ledger.standing.committee().voterPeers()
	dead := s.node(chosen[2])
	dead.kill()
	s.gone(dead.id, false, false) // gossip's word alone
	nodes[0].seen("its replacement", func(events []any) bool {
		c, _ := newest[Committee](events)
		return len(c.Voters) == 3 && !slices.Contains(c.Voters, dead.id)
	})
}

func TestAForeignServerMayNotCallRaft(t *testing.T) {
	s := newSwarm(t)
	s.tune = func(c *Config) { c.Voters = 1 }
	a := s.start(1, true)
	a.leads()
	b := s.start(2, false)
	b.seen("the ledger", func(events []any) bool { _, ok := newest[Leader](events); return ok })
	st := &stream{l: b.Ledger}
	_, err := st.Dial(raft.ServerAddress(a.Ledger.self), within)
	if r := new(refusal); !errors.As(err, &r) || r.reason != refusedMember {
		t.Fatalf("a watcher's Raft connection: %v", err)
	}
	err = a.transport.check(raft.RPC{Command: &raft.AppendEntriesRequest{Entries: []*raft.Log{{Type: raft.LogConfiguration, Data: []byte("x")}}}})
	if err == nil {
		t.Fatal("a configuration of one byte passed")
	}
	if err := b.transport.check(raft.RPC{Command: &raft.TimeoutNowRequest{}}); err == nil {
		t.Fatal("a watcher may be called to an election")
	}
}

func TestAHostilePeerCannotFloodItsVictimWithFaults(t *testing.T) {
	s := newSwarm(t)
	a := s.start(1, true)
	a.leads()
	for i := range 10 * faultsInIt {
		a.fault("test", fmt.Errorf("fault %d", i))
		a.fault("test", fmt.Errorf("fault %d", i))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	faults := map[string]int{}
	for _, e := range a.events {
		if f, is := e.(Fault); is {
			faults[f.Error]++
		}
	}
	if len(faults) == 0 || len(faults) > 2*faultsInIt || faults["fault 0"] != 1 {
		t.Fatalf("%d faults were told", len(faults))
	}
}
