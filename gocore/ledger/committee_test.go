// The committee over its life: founded, grown, replaced, shrunk, left.

package ledger

import "testing"

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
