package p2plib

import (
	"testing"
	"time"
)

func TestALeaderWhoseReaderStoppedReadingHandsOver(t *testing.T) {
	first := testConfig()
	first.Found = true
	leader := openUnread(t, first)
	others := []*watched{openNode(t, testConfig(leader.address())), openNode(t, testConfig(leader.address()))}
	for _, n := range append(others, leader) {
		if err := n.Announce(nil, true); err != nil {
			t.Fatal(err)
		}
	}
	await(others[0], func(e Committee) bool { return len(e.Voters) == 3 })
	if _, err := leader.Next(time.Second); err != nil {
		t.Fatal(err)
	}
	leader.running.Go("test.attention", func() { leader.watchAttention(200 * time.Millisecond) })
	await(others[0], func(e Leader) bool { return e.Leader != "" && e.Leader != leader.id })
}

func TestAReaderThatWaitsLongIsAttentive(t *testing.T) {
	var a attention
	a.pay()()
	done := a.pay()
	if a.lapsed(0) {
		t.Error("a reader waits for an event, and counts as gone")
	}
	done()
	if !a.lapsed(-time.Second) {
		t.Error("nobody waits for events, and somebody counts as reading")
	}
}
