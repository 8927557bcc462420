// Peers that cannot connect to each other, and a third that both reach.

package p2plib

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"pyfl/gocore/transport"
)

// wall is a network that swallows connections to some addresses.
type wall struct {
	mu     sync.Mutex
	closed map[string]bool
	conns  map[string][]net.Conn
}

func newWall() *wall { return &wall{closed: map[string]bool{}, conns: map[string][]net.Conn{}} }

func (w *wall) connect(ctx context.Context, addr string) (net.Conn, error) {
	w.mu.Lock()
	closed := w.closed[addr]
	w.mu.Unlock()
	if closed {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err == nil {
		w.mu.Lock()
		w.conns[addr] = append(w.conns[addr], conn)
		w.mu.Unlock()
	}
	return conn, err
}

// set closes or opens the way to an address; closing cuts what is there.
func (w *wall) set(addr string, closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed[addr] = closed
	if closed {
		for _, c := range w.conns[addr] {
			_ = c.Close()
		}
		w.conns[addr] = nil
	}
}

// three are a, b and the one between them; wallA stands before a's dials, wallB before b's.
func three(t *testing.T) (a, b, middle *watched, wallA, wallB *wall) {
	t.Helper()
	first := testConfig()
	first.Found = true
	middle = openNode(t, first)
	wallA, wallB = newWall(), newWall()
	one, two := testConfig(middle.address()), testConfig(middle.address())
	one.connect, two.connect = wallA.connect, wallB.connect
	a, b = openNode(t, one), openNode(t, two)
	await(a, up(b.id))
	await(b, up(a.id))
	await(middle, up(a.id))
	await(middle, up(b.id))
	return a, b, middle, wallA, wallB
}

// exchange moves a message and a transfer from one to the other.
func exchange(t *testing.T, from, to *watched, tag string) {
	t.Helper()
	if err := from.Message(to.id, []byte(tag), []byte("hello")); err != nil {
		t.Fatal(err)
	}
	await(to, func(m Message) bool { return m.Peer == from.id && string(m.Tag) == tag })
	data, into := make([]byte, 3<<20), make([]byte, 3<<20)
	_, _ = rand.Read(data)
	if _, err := from.Send(to.id, []byte(tag), data, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := to.Receive(from.id, []byte(tag), into, 0); err != nil {
		t.Fatal(err)
	}
	got := await(to, func(e Received) bool { return string(e.Tag) == tag })
	sent := await(from, func(e Sent) bool { return string(e.Tag) == tag })
	if !got.OK || !sent.OK || !bytes.Equal(data, into) {
		t.Fatalf("sent %+v, received %+v", sent, got)
	}
}

func TestTwoThatCannotConnectMeetOnAThirdAndGoStraightAgainOnceTheyCan(t *testing.T) {
	a, b, middle, wallA, wallB := three(t)
	exchange(t, a, b, "straight")
	wallA.set(b.address(), true)
	wallB.set(a.address(), true)
	await(a, func(e LinkRoute) bool { return e.Peer == b.id && e.Via == middle.id })
	await(b, func(e LinkRoute) bool { return e.Peer == a.id && e.Via == middle.id })
	exchange(t, a, b, "around")
	exchange(t, b, a, "around back")
	if moved := middle.Stats()["bytes_relayed"]; moved < 6<<20 {
		t.Fatalf("%d bytes were passed on, expected both transfers", moved)
	}
	for _, peer := range a.Peers() {
		if (peer.Peer == b.id) != (peer.Via == middle.id) {
			t.Fatalf("a sees %+v", peer)
		}
	}
	wallA.set(b.address(), false)
	wallB.set(a.address(), false)
	await(a, func(e LinkRoute) bool { return e.Peer == b.id && e.Via == "" })
	await(b, func(e LinkRoute) bool { return e.Peer == a.id && e.Via == "" })
	exchange(t, a, b, "straight again")
	for _, n := range []*watched{a, b} {
		n.mu.Lock()
		for _, e := range n.events {
			if down, ok := e.(PeerDown); ok {
				t.Errorf("a living peer was given up: %+v", down)
			}
		}
		n.mu.Unlock()
	}
}

func TestThePassingOnEndsWithTheStraightWay(t *testing.T) {
	a, b, middle, wallA, _ := three(t)
	wallA.set(b.address(), true)
	exchange(t, a, b, "around")
	wallA.set(b.address(), false)
	await(a, func(e LinkRoute) bool { return e.Via == "" })
	eventually(t, "nothing is passed on any more", func() bool { return middle.Stats()["links_carried"] == 0 })
	exchange(t, a, b, "straight")
}

// A peer that is reached around dies: its end travels through the one in the middle, which then finds nobody there.
func TestADeathBehindARelayIsConfirmedByTheRelay(t *testing.T) {
	a, b, middle, wallA, wallB := three(t)
	wallA.set(b.address(), true)
	wallB.set(a.address(), true)
	exchange(t, a, b, "around")
	_ = b.transport.Close() // what the kernel does when a process ends
	down := await(a, func(e PeerDown) bool { return e.Peer == b.id && e.Confirmed })
	if down.Reason != "refused" {
		t.Fatalf("got %+v", down)
	}
	await(middle, func(e PeerDown) bool { return e.Peer == b.id && e.Confirmed })
}

func TestWhenTheOneInTheMiddleDiesAnotherTakesItsPlace(t *testing.T) {
	a, b, middle, wallA, wallB := three(t)
	second := openNode(t, testConfig(middle.address()))
	for _, n := range []*watched{a, b, middle} {
		await(n, up(second.id))
	}
	wallA.set(b.address(), true)
	wallB.set(a.address(), true)
	exchange(t, a, b, "around")
	via := await(a, func(e LinkRoute) bool { return e.Via != "" }).Via
	first, other := middle, second
	if via == second.id {
		first, other = second, middle
	}
	_ = first.transport.Close()
	await(a, func(e LinkRoute) bool { return e.Peer == b.id && e.Via == other.id })
	await(b, func(e LinkRoute) bool { return e.Peer == a.id && e.Via == other.id })
	exchange(t, a, b, "around another")
}

func TestAWatcherFollowsTheLedgerAround(t *testing.T) {
	a, b, middle, wallA, _ := three(t)
	for _, n := range []*watched{a, b, middle} {
		if err := n.Announce(nil, true); err != nil {
			t.Fatal(err)
		}
	}
	await(a, func(e Committee) bool { return len(e.Voters) == 3 })
	await(b, func(e Committee) bool { return len(e.Voters) == 3 })
	wallA.set(b.address(), true)
	await(a, func(e LinkRoute) bool { return e.Peer == b.id && e.Via == middle.id })
	if err := middle.Yield(); err != nil {
		t.Fatal(err)
	}
	leader := await(a, func(e Leader) bool { return e.Leader != "" && e.Leader != middle.id })
	writer := a
	if leader.Leader == b.id {
		writer = b
	}
	await(writer, func(e Leader) bool { return e.Me })
	if _, err := writer.Write([]Op{{Key: "k", Value: []byte("v")}}); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*watched{a, b, middle} {
		await(n, func(r Record) bool { return r.Key == "k" })
	}
}

// Through a relay only planes are reached that are not the relay's: no chains, so no loops.
func TestARelayIsNotReachedThroughARelay(t *testing.T) {
	a, b, _, wallA, _ := three(t)
	wallA.set(b.address(), true)
	exchange(t, a, b, "around")
	if conn, err := a.transport.Dial(context.Background(), b.address(), transport.Relay, b.id); err == nil {
		_ = conn.Close()
		t.Fatal("this side asked for a chain")
	}
	raw, err := a.relay.Around(context.Background(), b.id, b.address())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	client := tls.Client(raw, &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true,
		Certificates: []tls.Certificate{insiderIdentity(t).Certificate}, NextProtos: []string{string(transport.Relay)}})
	_ = client.SetDeadline(time.Now().Add(patience))
	if _, err = client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("the other side served a chain: %v", err)
	}
}
