package transport

import (
	"errors"
	"strings"
	"testing"
)

// speaking opens a member that speaks another version than this build.
func speaking(t *testing.T, version Version, faults chan error) *T {
	t.Helper()
	return start(t, Config{Identity: member(t, swarmKey), Version: version}, faults)
}

func TestNeighbouringVersionsWorkTogetherOrAreNamedOnBothSides(t *testing.T) {
	for _, plane := range planes {
		now := speaking(t, Version{Current: 3, Oldest: 2}, nil)
		next := speaking(t, Version{Current: 4, Oldest: 3}, nil)
		listen(t, now, plane)
		listen(t, next, plane)
		for _, pair := range [][2]*T{{now, next}, {next, now}} {
			conn, err := pair[0].Dial(t.Context(), pair[1].Addr(), plane, pair[1].Self())
			if err != nil {
				t.Fatalf("%s: neighbours: %v", plane, err)
			}
			_ = conn.Close()
		}
		faults := make(chan error, 8)
		far := speaking(t, Version{Current: 5, Oldest: 4}, faults)
		listen(t, far, plane)
		for _, pair := range [][2]*T{{now, far}, {far, now}} {
			_, err := pair[0].Dial(t.Context(), pair[1].Addr(), plane, pair[1].Self())
			var refused *VersionError
			if !errors.As(err, &refused) || !Refused(err) {
				t.Fatalf("%s: two versions apart: %v", plane, err)
			}
			older := "upgrade pyfl on this peer"
			if pair[0] == far {
				older = "upgrade pyfl on that peer"
			}
			if text := err.Error(); !strings.Contains(text, "speaks 3") && !strings.Contains(text, "version 3") ||
				!strings.Contains(text, "5") || !strings.Contains(text, older) {
				t.Fatalf("%s: the text names not both versions and who is older: %v", plane, err)
			}
		}
		var refused *VersionError
		if err := <-faults; !errors.As(err, &refused) { // as the one that was called
			t.Fatalf("%s: the called side says %v", plane, err)
		}
	}
}

func TestSwarmsOfOneKeyAreKeptApartOnEveryPlane(t *testing.T) {
	for _, plane := range planes {
		a, b, joiner := open(t, swarmKey, nil), open(t, swarmKey, nil), open(t, swarmKey, nil)
		listen(t, a, plane)
		listen(t, b, plane)
		early, err := joiner.Dial(t.Context(), b.Addr(), plane, b.Self()) // neither has a ledger
		if err != nil {
			t.Fatal(err)
		}
		a.Belong(LedgerID{1})
		b.Belong(LedgerID{2})
		var refused *OtherSwarmError
		for _, pair := range [][2]*T{{a, b}, {b, a}} {
			_, err := pair[0].Dial(t.Context(), pair[1].Addr(), plane, pair[1].Self())
			if !errors.As(err, &refused) || refused.Ours == refused.Theirs || !strings.Contains(err.Error(), refused.Theirs.String()) {
				t.Fatalf("%s: another swarm's member: %v", plane, err)
			}
		}
		// Who has no ledger may ask anyone, and is of one swarm alone from then on.
		other, err := joiner.Dial(t.Context(), b.Addr(), plane, b.Self())
		if err != nil {
			t.Fatalf("%s: a joiner: %v", plane, err)
		}
		joiner.Belong(LedgerID{1})
		if _, err := other.Read(make([]byte, 1)); err == nil {
			t.Fatalf("%s: the connection with the other swarm is still open", plane)
		}
		if plane == Member {
			if _, err := early.Read(make([]byte, 1)); err == nil {
				t.Fatal("gossip goes on over a connection from before the two had a ledger")
			}
		}
		if _, err := joiner.Dial(t.Context(), b.Addr(), plane, b.Self()); !errors.As(err, &refused) {
			t.Fatalf("%s: a member of the first swarm, at the second: %v", plane, err)
		}
		if conn, err := joiner.Dial(t.Context(), a.Addr(), plane, a.Self()); err != nil {
			t.Fatalf("%s: at its own: %v", plane, err)
		} else {
			_ = conn.Close()
		}
	}
}
