// What the ledger promises when voters, leaders and majorities die and come back.

package ledger

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// three starts peers 1 to n and waits until the committee has its size.
func (s *swarm) grow(n, voters int, change ...func(*Config)) []*node {
	s.t.Helper()
	nodes := []*node{s.start(1, true, change...)}
	nodes[0].leads()
	for i := 2; i <= n; i++ {
		nodes = append(nodes, s.start(i, false, change...))
	}
	for _, x := range nodes {
		x.votersCount(voters)
	}
	return nodes
}

func without(nodes []*node, dead *node) []*node {
	return slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool { return n == dead })
}

func TestAKilledLeaderLosesNoRecordAndTheTimeoutElectsAnother(t *testing.T) {
	s := newSwarm(t)
	nodes := s.grow(5, 5)
	old := nodes[0]
	for i := range 20 {
		old.must(op(fmt.Sprint("r", i), 0, "v"))
	}
	old.kill() // nobody is told: the election timeout finds out
	rest := without(nodes, old)
	next := s.writeSomewhere(op("after", 0, "v"), rest...)
	for _, n := range rest {
		n.holds("after", "v")
		for i := range 20 {
			n.holds(fmt.Sprint("r", i), "v")
		}
		indexesRise(t, n)
	}
	s.gone(old.id, false, false)
	next.votersCount(3) // four peers are left; away for longer than the grace counts as dead
}

func TestAConfirmedDeathElectsAtOnceThroughTimeoutNow(t *testing.T) {
	s := newSwarm(t)
	s.beat = 5 * time.Minute // no timeout of Raft passes in this test: only the call can elect
	nodes := s.grow(4, 3)
	old := nodes[0]
	old.must(op("k", 0, "v"))
	for _, n := range nodes {
		n.holds("k", "v")
	}
	old.kill()
	s.gone(old.id, true, false)
	next := s.writeSomewhere(op("k", 1, "w"), without(nodes, old)...)
	for _, n := range without(nodes, old) {
		n.seen("the new leader", func(events []any) bool {
			l, _ := newest[Leader](events)
			return l.Leader == next.id && l.Term > 2 && l.Me == (n == next)
		})
		n.holds("k", "w")
	}
	next.seen("the dead voter replaced", func(events []any) bool {
		c, _ := newest[Committee](events)
		return len(c.Voters) == 3 && !slices.Contains(c.Voters, old.id)
	})
}

func TestADeposedLeaderSaysSo(t *testing.T) {
	s := newSwarm(t)
	nodes := s.grow(3, 3)
	old := nodes[0]
	old.cut()
	old.seen("that it leads no more", func(events []any) bool {
		l, ok := newest[Leader](events)
		return ok && !l.Me
	})
	old.seen("that the ledger is lost", func(events []any) bool { _, ok := newest[LedgerLost](events); return ok })
	s.writeSomewhere(op("k", 0, "v"), nodes[1:]...)
	if e := old.write(op("k", 0, "w")); e != Denied {
		t.Fatalf("a deposed leader's write: %q", e)
	}
}

func TestAWatcherSeesEveryFinalValueAndMovesWhenItsVoterDies(t *testing.T) {
	s := newSwarm(t)
	s.tune = func(c *Config) { c.Voters = 3 }
	nodes := s.grow(5, 3)
	lead := nodes[0]
	var watchers, voters []*node
	chosen := lead.Ledger.standing.committee().voterPeers()
	for _, n := range nodes {
		if slices.Contains(chosen, n.id) {
			voters = append(voters, n)
		} else {
			watchers = append(watchers, n)
		}
	}
	if len(watchers) != 2 {
		t.Fatalf("%d watchers", len(watchers))
	}
	for i := range 50 {
		lead.must(op("hot", uint64(i), fmt.Sprint(i)), op(fmt.Sprint("cold", i%7), uint64(i/7), fmt.Sprint(i)))
	}
	for _, w := range watchers {
		w.holds("hot", "49")
	}
	// One voter after another dies; each watcher must lose the one it watches at some point.
	dead := voters[1]
	dead.kill()
	s.gone(dead.id, true, false)
	lead.seen("the dead voter replaced", func(events []any) bool {
		c, _ := newest[Committee](events)
		return len(c.Voters) == 3 && !slices.Contains(c.Voters, dead.id)
	})
	lead.must(op("hot", 50, "50"))
	lead.kill()
	s.gone(lead.id, true, false)
	rest := without(without(nodes, dead), lead)
	s.writeSomewhere(op("hot", 51, "51"), rest...)
	for _, n := range rest {
		n.holds("hot", "51")
		for i := 43; i < 50; i++ {
			n.holds(fmt.Sprint("cold", i%7), fmt.Sprint(i))
		}
		indexesRise(t, n)
	}
}

func TestAWatcherMovesToAnotherVoterWhenItsOwnDies(t *testing.T) {
	s := newSwarm(t)
	s.tune = func(c *Config) { c.Voters = 3 }
	nodes := s.grow(6, 3)
	voters := nodes[0].Ledger.standing.committee().voterPeers()
	for _, w := range nodes {
		if slices.Contains(voters, w.id) {
			continue
		}
		sortByHash(w.id, voters)
		own := s.node(voters[0]) // the one it watches
		if own == nodes[0] {
			continue // whose death is an election, too
		}
		nodes[0].must(op("k", 0, "before"))
		w.holds("k", "before")
		own.kill() // nobody is told: the committee and the list of who lives stay as they are
		nodes[0].must(op("k", 1, "after"))
		w.holds("k", "after")
		indexesRise(t, w)
		return
	}
	t.Fatal("every watcher watches the leader: name the peers of this test otherwise")
}

func TestAMajorityLostFailsWritesAndItsReturnRecovers(t *testing.T) {
	s := newSwarm(t)
	dirs := map[int]string{}
	for i := 1; i <= 3; i++ {
		dirs[i] = t.TempDir()
	}
	start := func(i int, found bool) *node { return s.start(i, found, func(c *Config) { c.DataDir = dirs[i] }) }
	a := start(1, true)
	a.leads()
	b, c := start(2, false), start(3, false)
	for _, n := range []*node{a, b, c} {
		n.votersCount(3)
	}
	a.must(op("k", 0, "v"))
	b.kill()
	c.kill()
	if e := a.write(op("k", 1, "lost")); e != Lost && e != Timeout {
		t.Fatalf("a write without a majority: %q", e)
	}
	a.seen("the ledger lost", func(events []any) bool { l, ok := newest[LedgerLost](events); return ok && l.AgeMs > 0 })
	if e := a.write(op("control", 0, "stop")); e != NotLeader && e != Timeout {
		t.Fatalf("a control write without a leader: %q", e)
	}
	b = start(2, false)
	next := s.writeSomewhere(op("after", 0, "v"), a, b)
	a.seen("the ledger found", func(events []any) bool { _, ok := newest[LedgerFound](events); return ok })
	b.holds("k", func() string { r, _ := next.Read("k"); return string(r.Value) }())
}

func TestAllRestartedFromDiskResume(t *testing.T) {
	s := newSwarm(t)
	var dirs []string
	for range 5 {
		dirs = append(dirs, t.TempDir())
	}
	start := func(i int, found bool) *node {
		return s.start(i+1, found, func(c *Config) { c.DataDir, c.Fsync = dirs[i], i == 0 })
	}
	var nodes []*node
	for i := range 5 {
		nodes = append(nodes, start(i, i == 0))
		if i == 0 {
			nodes[0].leads()
		}
	}
	for _, n := range nodes {
		n.votersCount(5)
	}
	nodes[0].must(op("k", 0, "v"))
	names := map[string]bool{}
	for _, n := range nodes {
		names[n.Ledger.self] = true
		n.kill()
	}
	nodes = nil
	s.beat = 5 * time.Minute // they need not wait for an election timeout to find that nobody leads
	for i := range 5 {
		nodes = append(nodes, start(i, i == 0)) // found means nothing when there is a ledger
	}
	s.writeSomewhere(op("k", 1, "w"), nodes...)
	for _, n := range nodes {
		n.holds("k", "w")
		if !names[n.Ledger.self] {
			t.Fatalf("%s is a new server", n.Ledger.self)
		}
	}
}

func TestALaggingVoterElectsAVoterThatItsLogDoesNotKnow(t *testing.T) {
	s := newSwarm(t)
	s.tune = func(c *Config) { c.Voters = 3 }
	nodes := s.grow(3, 3)
	lag := nodes[2]
	cut := route{nodes[0].id, lag.id, PlaneRaft}
	s.bar(cut)
	d := s.start(4, false)
	if err := nodes[1].Leave(within); err != nil {
		t.Fatal(err)
	}
	lag.votersAre(1, 3, 4) // it hears on the watch plane what its log does not have
	if _, listed := (committee{Servers: lag.latestServers()}).has(d.self); listed {
		t.Fatal("it does not lag")
	}
	nodes[1].kill()
	nodes[0].kill()
	s.gone(nodes[0].id, false, false)
	s.writeSomewhere(op("k", 0, "v"), d) // only peer 4 can be elected, and only by peer 3
	lag.holds("k", "v")
}

func TestAWatcherLeavesAVoterThatHearsNoLeader(t *testing.T) {
	s := newSwarm(t)
	s.tune = func(c *Config) { c.Voters = 3 }
	nodes := s.grow(4, 3)
	voters := nodes[0].Ledger.standing.committee().voterPeers()
	watcher := nodes[slices.IndexFunc(nodes, func(n *node) bool { return !slices.Contains(voters, n.id) })]
	sortByHash(watcher.id, voters)
	alone := s.node(voters[0]) // the one it watches: cut off from the other voters, not from it
	for _, v := range voters[1:] {
		for _, plane := range []Plane{PlaneRaft, PlaneWatch} {
			s.bar(route{alone.id, v, plane})
			s.bar(route{v, alone.id, plane})
		}
	}
	s.writeSomewhere(op("k", 0, "v"), s.node(voters[1]), s.node(voters[2]))
	watcher.holds("k", "v")
}
