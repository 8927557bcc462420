package p2plib

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// memberlist's own goroutines end within a probe's time after Close: goleak looks again for that long.
func TestMain(m *testing.M) {
	if config := os.Getenv(childEnv); config != "" {
		child(config)
		return
	}
	goleak.VerifyTestMain(m)
}

var testKey = hex.EncodeToString(bytes.Repeat([]byte{9}, 32))

// patience is only ever waited for when a claim is false.
const patience = 30 * time.Second

// watched is a node whose events are gathered by one reader.
type watched struct {
	*Node
	t      *testing.T
	id     PeerID
	mu     sync.Mutex
	events []Event
	more   chan struct{}
	ended  chan struct{}
}

func testConfig(join ...string) Config {
	c := Defaults()
	c.Listen, c.SwarmKey, c.Join = "127.0.0.1:0", testKey, join
	c.Fsync, c.HeartbeatMs = false, 500
	return c
}

func openNode(t *testing.T, config Config) *watched {
	t.Helper()
	n := openUnread(t, config)
	n.read()
	return n
}

func openUnread(t *testing.T, config Config) *watched {
	t.Helper()
	node, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := node.Self()
	n := &watched{Node: node, t: t, id: id, more: make(chan struct{}), ended: make(chan struct{})}
	t.Cleanup(node.Close)
	return n
}

func (n *watched) read() {
	go func() {
		defer close(n.ended)
		for {
			event, err := n.Next(time.Minute)
			if err != nil {
				return
			}
			if event == nil {
				continue
			}
			n.mu.Lock()
			n.events = append(n.events, event)
			close(n.more)
			n.more = make(chan struct{})
			n.mu.Unlock()
		}
	}()
}

// address is where it really listens, whatever it tells the others.
func (n *watched) address() string { return n.transport.Addr() }

// await returns the first event, past or future, that fits.
func await[E Event](n *watched, fits func(E) bool) E {
	n.t.Helper()
	deadline := time.After(patience)
	for from := 0; ; {
		n.mu.Lock()
		events, more := n.events, n.more
		n.mu.Unlock()
		for ; from < len(events); from++ {
			if e, ok := events[from].(E); ok && fits(e) {
				return e
			}
		}
		select {
		case <-more:
		case <-deadline:
			n.t.Fatalf("node %s waited in vain for a %T; it saw %s", n.id[:6], *new(E), n.story())
		}
	}
}

func (n *watched) story() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	text := ""
	for _, e := range n.events {
		line := fmt.Sprintf("%+v", e)
		text += fmt.Sprintf("\n  %s %.200s", e.Kind(), line)
	}
	return text
}

// forget drops what was seen, so that the next await is about the future.
func (n *watched) forget() {
	n.mu.Lock()
	n.events = nil
	n.mu.Unlock()
}

func up(peer PeerID) func(PeerUp) bool { return func(e PeerUp) bool { return e.Peer == peer } }

// pair opens two nodes that know each other.
func pair(t *testing.T, change func(*Config)) (a, b *watched) {
	t.Helper()
	first := testConfig()
	first.Found = true
	change(&first)
	a = openNode(t, first)
	second := testConfig(a.address())
	change(&second)
	b = openNode(t, second)
	await(a, up(b.id))
	await(b, up(a.id))
	return a, b
}
