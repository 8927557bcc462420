// Two swarms that were founded with one key and are introduced to each other; and peers of neighbouring versions.

package p2plib

import (
	"strings"
	"testing"
	"time"

	"pyfl/gocore/transport"
)

func founded(t *testing.T) *watched {
	t.Helper()
	c := testConfig()
	c.Found = true
	n := openNode(t, c)
	await(n, func(e Committee) bool { return e.Ledger != "" })
	return n
}

func TestTwoSwarmsThatAreIntroducedDoNotMerge(t *testing.T) {
	a, b := founded(t), founded(t)
	a2, b2 := openNode(t, testConfig(a.address())), openNode(t, testConfig(b.address()))
	await(a, up(a2.id))
	await(b, up(b2.id))
	await(a2, func(e Committee) bool { return e.Ledger != "" })
	await(b2, func(e Committee) bool { return e.Ledger != "" })

	// By a joiner that is told of both.
	joiner := openNode(t, testConfig(a.address(), b.address()))
	await(joiner, func(e Committee) bool { return e.Ledger != "" })
	// By a founder that is told of the other swarm.
	c := testConfig(a.address())
	c.Found, c.JoinTimeoutMs = true, 300
	third := openNode(t, c)
	failed := await(third, func(JoinFailed) bool { return true })
	if f := failed.Failures[0]; !f.Refused || !strings.Contains(f.Error, "another swarm with the same key") {
		t.Fatalf("the third swarm's founder: %+v", failed)
	}

	swarms := []map[PeerID]bool{{a.id: true, a2.id: true}, {b.id: true, b2.id: true}}
	for i, n := range []*watched{a, b} {
		eventually(t, "only its own swarm is listed, and whoever joined it", func() bool {
			for _, p := range n.Peers() {
				if swarms[1-i][p.Peer] || p.Peer == third.id {
					return false
				}
			}
			return true
		})
	}
	if n := len(third.Peers()); n != 0 {
		t.Fatalf("the third founder lists %d peers", n)
	}
	// Writes stay where they are.
	for i, n := range []*watched{a, b} {
		if _, err := n.Write([]Op{{Key: "k", Value: []byte{byte(i)}}}); err != nil {
			t.Fatal(err)
		}
	}
	for i, n := range []*watched{a2, b2} {
		await(n, func(e Record) bool {
			if e.Key == "k" && e.Value[0] != byte(i) {
				t.Errorf("a record of the other swarm: %v", e.Value)
			}
			return e.Key == "k"
		})
	}
}

func TestANeighbouringVersionIsAMemberAndALaterOneIsRefusedByName(t *testing.T) {
	a := founded(t)
	next := testConfig(a.address())
	next.version = transport.Version{Current: transport.Spoken.Current + 1, Oldest: transport.Spoken.Current}
	n := openNode(t, next)
	await(a, up(n.id))
	if _, err := a.Write([]Op{{Key: "k", Value: []byte("v")}}); err != nil {
		t.Fatal(err)
	}
	await(n, func(e Record) bool { return e.Key == "k" })

	far := testConfig(a.address())
	far.version = transport.Version{Current: transport.Spoken.Current + 2, Oldest: transport.Spoken.Current + 1}
	far.JoinTimeoutMs = 300
	stranger := openNode(t, far)
	failed := await(stranger, func(JoinFailed) bool { return true })
	if f := failed.Failures[0]; !f.Refused || !strings.Contains(f.Error, "upgrade pyfl on that peer") {
		t.Fatalf("%+v", failed)
	}
}

// eventually polls what no single event tells.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for watchdog := time.After(patience); !ok(); {
		select {
		case <-tick.C:
		case <-watchdog:
			t.Fatalf("never: %s", what)
		}
	}
}
