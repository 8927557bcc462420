// What broken links and hostile members do.

package p2plib

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pyfl/gocore/identity"
	"pyfl/gocore/transport"
)

// gate stands before a node's port, so that its links can be cut.
type gate struct {
	listener net.Listener
	swallow  atomic.Bool // what comes goes nowhere
	mu       sync.Mutex
	conns    []net.Conn
}

func newGate(t *testing.T) *gate {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &gate{listener: listener}
}

func (r *gate) forward(t *testing.T, to string) {
	t.Cleanup(func() { _ = r.listener.Close(); r.cut() })
	go func() {
		for {
			in, err := r.listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, in, out)
			r.mu.Unlock()
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				go r.copy(pair[0], pair[1])
			}
		}
	}()
}

func (r *gate) copy(to, from net.Conn) {
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if r.swallow.Load() {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (r *gate) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
}

// relayed is a pair whose second node is reached through a gate.
func relayed(t *testing.T) (a, b *watched, r *gate) {
	t.Helper()
	r = newGate(t)
	first := testConfig()
	first.Found = true
	a = openNode(t, first)
	second := testConfig(a.address())
	second.Advertise = r.listener.Addr().String()
	b = openNode(t, second)
	r.forward(t, b.address())
	await(a, up(b.id))
	await(b, up(a.id))
	return a, b, r
}

func TestACutLinkIsALinkDownAndWhatIsPostedSurvivesIt(t *testing.T) {
	a, b, r := relayed(t)
	into := make([]byte, 1<<20)
	received, err := a.Receive(b.id, []byte("posted"), into, 0) // its POST travels through the gate
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Message(b.id, []byte("before"), nil); err != nil {
		t.Fatal(err)
	}
	await(b, func(m Message) bool { return string(m.Tag) == "before" })
	r.cut()
	await(a, func(e LinkDown) bool { return e.Peer == b.id })
	if err := a.Message(b.id, []byte("after"), nil); err != nil {
		t.Fatal(err)
	}
	await(b, func(m Message) bool { return string(m.Tag) == "after" })
	data := make([]byte, len(into))
	_, _ = rand.Read(data)
	if _, err := b.Send(a.id, []byte("posted"), data, 0); err != nil {
		t.Fatal(err)
	}
	if e := await(a, func(e Received) bool { return e.Transfer == received }); !e.OK || !bytes.Equal(data, into) {
		t.Fatalf("got %+v", e)
	}
}

func TestAPostThatWasLostWithItsLinkIsPostedAgain(t *testing.T) {
	a, b, r := relayed(t)
	if err := a.Message(b.id, []byte("connect"), nil); err != nil {
		t.Fatal(err)
	}
	await(b, func(m Message) bool { return string(m.Tag) == "connect" })
	r.swallow.Store(true)
	into := make([]byte, 1000)
	received, err := a.Receive(b.id, []byte("lost"), into, 0)
	if err != nil {
		t.Fatal(err)
	}
	for a.messages.Waiting(b.id) > 0 { // until the POST is in the link
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond) // ... and swallowed: nobody can say when
	r.cut()
	r.swallow.Store(false)
	if _, err := b.Send(a.id, []byte("lost"), bytes.Repeat([]byte{7}, 1000), 0); err != nil {
		t.Fatal(err)
	}
	if e := await(a, func(e Received) bool { return e.Transfer == received }); !e.OK {
		t.Fatalf("got %+v", e)
	}
}

func TestATransferUnderWayOnACutLinkIsLostOnBothSides(t *testing.T) {
	a, b, r := relayed(t)
	const size = 64 << 20
	sent, err := a.Send(b.id, []byte("large"), make([]byte, size), 0)
	if err != nil {
		t.Fatal(err)
	}
	received, err := b.Receive(a.id, []byte("large"), make([]byte, size), 0)
	if err != nil {
		t.Fatal(err)
	}
	for b.Stats()["bytes_received"] == 0 {
	}
	r.cut()
	s := await(a, func(e Sent) bool { return e.Transfer == sent })
	e := await(b, func(e Received) bool { return e.Transfer == received })
	if s.Error != "peer_lost" || e.Error != "peer_lost" {
		t.Fatalf("sent %+v, received %+v", s, e)
	}
	if _, err := b.Receive(a.id, []byte("large"), make([]byte, 10), 0); err != nil { // the tag is free again
		t.Fatal(err)
	}
}

// insiderIdentity is what a member of the swarm presents.
func insiderIdentity(t *testing.T) *identity.Identity {
	t.Helper()
	swarmKey, _ := hex.DecodeString(testKey)
	key, err := identity.LoadKey("")
	if err != nil {
		t.Fatal(err)
	}
	own, err := identity.New(swarmKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return own
}

// insider is a member of the swarm that speaks TLS and nothing else.
func insider(t *testing.T) *transport.T {
	t.Helper()
	tr, err := transport.New(transport.Config{Listen: "127.0.0.1:0", Identity: insiderIdentity(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

func TestAMemberThatSendsNoiseOnAnyPlaneHarmsNobody(t *testing.T) {
	a, b := pair(t, unchanged)
	hostile := insider(t)
	for _, plane := range []transport.Plane{transport.Member, transport.Ledger, transport.Watch, transport.Message, transport.Bulk} {
		for round := range 20 {
			conn, err := hostile.Dial(context.Background(), b.address(), plane, b.id)
			if err != nil {
				t.Fatalf("%s: %v", plane, err)
			}
			noise := make([]byte, 1+round*400)
			_, _ = rand.Read(noise)
			if round%3 == 0 { // past the first byte of the member plane
				noise[0] = 'P'
			} else if round%3 == 1 {
				noise[0] = 'S'
			}
			_, _ = conn.Write(noise)
			_ = conn.Close()
		}
	}
	exchange(t, a, b, "still here")
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if fault, ok := e.(Fault); ok && bytes.Contains([]byte(fault.Error), []byte("panic")) {
			t.Fatalf("a panic: %s", fault.Error)
		}
	}
	if len(b.Peers()) != 1 {
		t.Fatal(fmt.Sprint("noise changed who is here: ", b.Peers()))
	}
}
