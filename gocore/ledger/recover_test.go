// The committee's majority is gone for good: an operator makes a new one, and nobody undoes it.

package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// onDisk runs peers 1 to n with a data directory each, all voters, and writes k=v.
func onDisk(t *testing.T, n int) (s *swarm, nodes []*node, dirs []string) {
	t.Helper()
	s = newSwarm(t)
	for i := range n {
		dirs = append(dirs, t.TempDir())
		nodes = append(nodes, s.start(i+1, i == 0, func(c *Config) { c.DataDir, c.Voters = dirs[i], n }))
		if i == 0 {
			nodes[0].leads()
		}
	}
	for _, x := range nodes {
		x.votersCount(n)
	}
	nodes[0].must(op("k", 0, "v"))
	for _, x := range nodes {
		x.holds("k", "v")
	}
	return s, nodes, dirs
}

// follows does what a node's owner does on Overtaken: set the old log aside and open another.
func (s *swarm) follows(x *node, number int, dir string, voters int) *node {
	s.t.Helper()
	var told Overtaken
	x.seen("that it was overtaken", func(events []any) (ok bool) { told, ok = newest[Overtaken](events); return ok })
	x.stop()
	aside, err := SetAside(dir, told.Was)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(aside, "raft.db")); err != nil {
		s.t.Fatalf("the old log is not kept: %v", err)
	}
	return s.start(number, false, func(c *Config) { c.DataDir, c.Voters, c.Follow = dir, voters, told })
}

func epochOf(x *node) uint64 { return x.Ledger.stores.getFacts().Epoch }

func TestAMinorityIsMadeACommitteeAndAnOldVoterCannotUndoIt(t *testing.T) {
	s, nodes, dirs := onDisk(t, 5)
	for _, dead := range nodes[2:] {
		dead.kill()
		s.gone(dead.id, false, false)
	}
	if _, err := Inspect(dirs[0], nodes[0].id); !errors.Is(err, ErrRunning) {
		t.Fatalf("the ledger of a running peer was read: %v", err)
	}
	old := nodes[0].Ledger.self
	nodes[0].stop()
	found, aside, err := Recover(dirs[0], nodes[0].id)
	if err != nil {
		t.Fatal(err)
	}
	if found.Epoch != 1 || len(found.Voters) != 5 || !found.Votes || len(found.Records) != 1 || string(found.Records[0].Value) != "v" {
		t.Fatalf("found %+v", found)
	}
	if _, err := os.Stat(filepath.Join(aside, "raft.db")); err != nil {
		t.Fatalf("the old ledger is not kept: %v", err)
	}
	a := s.start(1, false, func(c *Config) { c.DataDir, c.Voters = dirs[0], 3 })
	a.leads()
	a.votersAre(1)
	a.holds("k", "v")
	if a.Ledger.self == old || epochOf(a) != 2 {
		t.Fatalf("it goes on as %s in epoch %d", a.Ledger.self, epochOf(a))
	}
	r, _ := a.Read("k")
	a.must(op("k", r.Version, "w"))

	// The other survivor follows by itself, and so does an old voter that comes back with its disk.
	b := s.follows(nodes[1], 2, dirs[1], 3)
	b.holds("k", "w")
	returned := s.start(3, false, func(c *Config) { c.DataDir, c.Voters = dirs[2], 5 })
	c := s.follows(returned, 3, dirs[2], 3)
	c.holds("k", "w")
	for _, x := range []*node{a, b, c} {
		x.votersAre(1, 2, 3)
		if epochOf(x) != 2 {
			t.Fatalf("peer %s is in epoch %d", x.id[28:], epochOf(x))
		}
		indexesRise(t, x)
	}
	s.writeSomewhere(op("k", r.Version+1, "x"), a, b, c)
}

func TestAWatcherThatIsLeftHoldsWhatItWasTold(t *testing.T) {
	s := newSwarm(t)
	dir := t.TempDir()
	s.tune = func(c *Config) { c.Voters = 1 }
	a := s.start(1, true)
	a.leads()
	a.must(op("k", 0, "v"), op("other", 0, "o"))
	b := s.start(2, false, func(c *Config) { c.DataDir = dir })
	b.holds("k", "v")
	a.must(op("k", 1, "w"))
	b.holds("k", "w")
	a.kill()
	s.gone(a.id, true, false)
	c := s.start(3, false) // another watcher: it knows the ledger from nobody but b
	b.stop()
	found, _, err := Recover(dir, b.id)
	if err != nil {
		t.Fatal(err)
	}
	if found.Votes || len(found.Records) != 2 {
		t.Fatalf("found %+v", found)
	}
	b = s.start(2, false, func(c *Config) { c.DataDir = dir })
	b.leads()
	for _, x := range []*node{b, c} {
		x.holds("k", "w")
		x.holds("other", "o")
	}
}

func TestAWatcherFollowsARecovery(t *testing.T) {
	s := newSwarm(t)
	dir := t.TempDir()
	s.tune = func(c *Config) { c.Voters = 1 }
	a := s.start(1, true, func(c *Config) { c.DataDir = dir })
	a.leads()
	a.must(op("k", 0, "v"))
	b := s.start(2, false)
	b.holds("k", "v")
	a.stop()
	if _, _, err := Recover(dir, a.id); err != nil {
		t.Fatal(err)
	}
	a = s.start(1, false, func(c *Config) { c.DataDir = dir })
	a.leads()
	a.must(op("k", 1+versionLeap, "w"))
	b.holds("k", "w")
	b.seen("the new epoch before its records", func(events []any) bool {
		for i, e := range events {
			if c, is := e.(Committee); is && c.Epoch == 2 {
				return !slices.ContainsFunc(events[:i], func(e any) bool { r, is := e.(Record); return is && r.Version > versionLeap })
			}
		}
		return false
	})
	indexesRise(t, b)
}

func TestALivingCommitteeIsNotOvertaken(t *testing.T) {
	s, nodes, dirs := onDisk(t, 3)
	// Somebody recovered a copy although the majority lived.
	nodes[2].stop()
	s.gone(nodes[2].id, true, false)
	if _, _, err := Recover(dirs[2], nodes[2].id); err != nil {
		t.Fatal(err)
	}
	s.leader(nodes[:2]...)
	c := s.start(3, false, func(c *Config) { c.DataDir, c.Voters = dirs[2], 1 })
	c.leads()
	s.eventually("both epochs named", func() bool {
		return slices.ContainsFunc(nodes[:2], func(x *node) bool {
			x.mu.Lock()
			defer x.mu.Unlock()
			return slices.ContainsFunc(x.events, func(e any) bool {
				f, is := e.(Fault)
				return is && strings.Contains(f.Error, "in epoch 2 of the ledger") && strings.Contains(f.Error, "in epoch 1")
			})
		})
	})
	for _, x := range nodes[:2] {
		if epochOf(x) != 1 {
			t.Fatalf("peer %s went over to epoch %d", x.id[28:], epochOf(x))
		}
	}
	r, _ := nodes[0].Read("k")
	s.writeSomewhere(op("k", r.Version, "still here"), nodes[:2]...)
	if r, _ := c.Read("k"); string(r.Value) != "v" {
		t.Fatalf("the recovered ledger holds %q of the other epoch", r.Value)
	}
}

func TestTwoRecoveriesOfOneEpochDoNotMerge(t *testing.T) {
	s, nodes, dirs := onDisk(t, 3)
	for i, x := range nodes[:2] {
		x.stop()
		s.gone(x.id, true, false)
		if _, _, err := Recover(dirs[i], x.id); err != nil {
			t.Fatal(err)
		}
	}
	nodes[2].kill()
	s.gone(nodes[2].id, true, false)
	a := s.start(1, false, func(c *Config) { c.DataDir, c.Voters = dirs[0], 1 })
	a.leads()
	b := s.start(2, false, func(c *Config) { c.DataDir, c.Voters = dirs[1], 1 })
	b.leads()
	_, err := a.question(b.id, hello{Kind: kindAsk}, within)
	if r := new(refusal); !errors.As(err, &r) || r.reason != refusedRecovery || !strings.Contains(err.Error(), "two peers were recovered") {
		t.Fatalf("the other recovery answers: %v", err)
	}
}

func TestARecoveryThatWasInterruptedIsFinishedOrNeverWas(t *testing.T) {
	_, nodes, dirs := onDisk(t, 1)
	nodes[0].stop()
	ledger := filepath.Join(dirs[0], "ledger")
	if _, _, err := Recover(dirs[0], nodes[0].id); err != nil {
		t.Fatal(err)
	}
	// Between the two renames: the old one aside, the new one not yet in place.
	if err := os.Rename(ledger, ledger+recoveredSuffix); err != nil {
		t.Fatal(err)
	}
	found, err := Inspect(dirs[0], nodes[0].id)
	if err != nil || found.Epoch != 2 || len(found.Records) != 1 {
		t.Fatalf("%+v %v", found, err)
	}
	// Before them: what was not finished is not looked at.
	if err := os.MkdirAll(ledger+recoveredSuffix+unfinishedSuffix, 0o700); err != nil {
		t.Fatal(err)
	}
	if found, _, err = Recover(dirs[0], nodes[0].id); err != nil || found.Epoch != 2 {
		t.Fatalf("%+v %v", found, err)
	}
	if found, err = Inspect(dirs[0], nodes[0].id); err != nil || found.Epoch != 3 || len(found.Voters) != 1 {
		t.Fatalf("%+v %v", found, err)
	}
}

func TestWithoutALedgerThereIsNothingToRecover(t *testing.T) {
	if _, _, err := Recover(t.TempDir(), peerNamed(1)); !errors.Is(err, ErrNoLedger) {
		t.Fatal(err)
	}
}
