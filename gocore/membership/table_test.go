package membership

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"pyfl/gocore/transport"
)

// script runs a table and writes down what it says.
type script struct {
	*table
	said   []string
	probes []Member
}

func newScript() *script {
	s := &script{}
	s.table = &table{entries: map[PeerID]*entry{}, emit: func(event any) {
		switch e := event.(type) {
		case Up:
			s.said = append(s.said, fmt.Sprintf("up %d", e.Member.Life))
		case Update:
			s.said = append(s.said, "update")
		case Down:
			s.said = append(s.said, fmt.Sprintf("down %s %v", e.Reason, e.Confirmed))
		case LinkDown:
			s.said = append(s.said, "link")
		}
	}, probe: func(m Member) { s.probes = append(s.probes, m) }}
	return s
}

func (s *script) answer(result outcome, life transport.Life) {
	m := s.probes[0]
	s.probes = s.probes[1:]
	s.probed(m, result, life)
}

func (s *script) expect(t *testing.T, said ...string) {
	t.Helper()
	if !slices.Equal(s.said, said) {
		t.Fatalf("said %q, expected %q", s.said, said)
	}
	s.said = nil
}

func x(life transport.Life) Member { return Member{ID: "x", Addr: "127.0.0.1:1", Life: life} }

func TestAKilledPeerIsConfirmedAtOnceAndComesBackWithItsNextLife(t *testing.T) {
	s := newScript()
	s.alive(x(1))
	s.broken("x")
	s.answer(refused, 0)
	s.expect(t, "up 1", "down refused true")
	s.dead("x") // gossip finds out later
	s.expect(t)
	s.alive(x(2))
	s.expect(t, "up 2")
}

func TestStaleGossipDoesNotRaiseTheDead(t *testing.T) {
	s := newScript()
	s.alive(x(1))
	s.broken("x")
	s.answer(refused, 0)
	s.said = nil
	s.alive(x(1))
	s.answer(refused, 0)
	s.expect(t)
	s.alive(x(1)) // a mistaken refusal is mended by a direct answer
	s.answer(answered, 1)
	s.expect(t, "up 1")
}

func TestAGoodbyeIsFinalForThatLife(t *testing.T) {
	s := newScript()
	s.alive(x(1))
	s.goodbye("x", 1)
	s.dead("x")
	s.broken("x")
	s.alive(x(1))
	s.seen("x", 1)
	s.expect(t, "up 1", "down left true")
	if len(s.probes) != 0 {
		t.Fatal("a peer that left was probed")
	}
	s.alive(x(2))
	s.expect(t, "up 2")
}

func TestAStoppedPeerIsAHintAndComesBackWhenItAnswers(t *testing.T) {
	s := newScript()
	s.alive(x(1))
	s.dead("x")
	s.answer(silent, 0)
	s.expect(t, "up 1", "down gossip false")
	s.seen("x", 1)
	s.answer(answered, 1)
	s.expect(t, "up 1")
}

func TestAHintThatIsConfirmedIsSaidTwice(t *testing.T) {
	s := newScript()
	s.alive(x(1))
	s.dead("x")
	s.answer(refused, 0)
	s.expect(t, "up 1", "down gossip false", "down refused true")
}

func TestABrokenLinkToALivePeerIsALinkDown(t *testing.T) {
	s := newScript()
	s.alive(x(1))
	s.broken("x")
	s.answer(answered, 1)
	s.broken("x")
	s.answer(silent, 0)
	s.expect(t, "up 1", "link", "link")
}

func TestARestartUnnoticedByGossipEndsTheFormerLife(t *testing.T) {
	s := newScript()
	s.alive(x(1))
	s.broken("x")
	s.answer(answered, 2) // the new life answered the probe
	s.expect(t, "up 1", "down refused true")
	s.alive(x(2))
	s.expect(t, "up 2")
	s.alive(x(3)) // no connection ever broke
	s.expect(t, "down refused true", "up 3")
}

func TestManyBrokenConnectionsAreOneProbe(t *testing.T) {
	s := newScript()
	s.alive(x(1))
	for range 5 {
		s.broken("x")
	}
	if len(s.probes) != 1 {
		t.Fatalf("%d probes, expected 1", len(s.probes))
	}
	s.answer(answered, 1)
	if len(s.probes) != 1 {
		t.Fatalf("%d probes after news during the first, expected 1", len(s.probes))
	}
}

// Whatever the evidence: ups and downs alternate as the reader of the events expects, an update or link_down is about
// a peer that is up, and nothing that is over is reported up again in the same life after a goodbye.
func TestEventsAlwaysMakeSense(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		up, confirmed := false, true
		leftLives := map[transport.Life]bool{}
		s := newScript()
		s.table.emit = func(event any) {
			switch e := event.(type) {
			case Up:
				if up || leftLives[e.Member.Life] {
					t.Fatalf("up of life %d: already up %v, left %v", e.Member.Life, up, leftLives[e.Member.Life])
				}
				up = true
			case Update, LinkDown:
				if !up {
					t.Fatalf("%T of a peer that is down", event)
				}
			case Down:
				if !up && (confirmed || !e.Confirmed) {
					t.Fatalf("down twice: %+v", e)
				}
				up, confirmed = false, e.Confirmed
				if e.Reason == ReasonLeft {
					leftLives[e.Life] = true
				}
			}
			if up {
				confirmed = false
			}
		}
		life := transport.Life(1)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 8).Draw(t, "step") {
			case 0:
				s.alive(x(life))
			case 1:
				life++
				s.alive(x(life))
			case 2:
				s.dead("x")
			case 3:
				s.goodbye("x", life)
			case 4:
				s.broken("x")
			case 5:
				s.seen("x", life)
			default:
				if len(s.probes) > 0 {
					s.answer(outcome(rapid.IntRange(0, 2).Draw(t, "outcome")), transport.Life(rapid.Uint64Range(1, uint64(life)).Draw(t, "life")))
				}
			}
		}
	})
}
