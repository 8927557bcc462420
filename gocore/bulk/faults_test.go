// Peers that stand still, and members that do not speak the protocol.

package bulk

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"pyfl/gocore/transport"
)

// A peer that takes the connection and then nothing more: the progress deadline ends the transfer and frees the buffer.
func TestAReceiverThatStandsStillTimesTheSendOut(t *testing.T) {
	a, b := sides(t, 300*time.Millisecond)
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	go stall(deaf, b.via, 1<<20)
	b.via = deaf.Addr().String()
	data := make([]byte, 64<<20)
	sent, err := a.Send(b.id(), "t", data, 0)
	if err != nil {
		t.Fatal(err)
	}
	received, err := b.Receive(a.id(), "t", make([]byte, len(data)), 0)
	if err != nil {
		t.Fatal(err)
	}
	if e := a.await(t, sent); e.Error != "timeout" {
		t.Fatalf("got %+v", e)
	}
	if e := b.await(t, received); e.Error != "timeout" && e.Error != "peer_lost" {
		t.Fatalf("got %+v", e)
	}
}

// A sender that is cancelled while it is blocked in a write gets its buffer back all the same.
func TestACancelEndsABlockedWrite(t *testing.T) {
	a, b := sides(t, patience)
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	go stall(deaf, b.via, 1<<20)
	b.via = deaf.Addr().String()
	sent, err := a.Send(b.id(), "t", make([]byte, 64<<20), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Receive(a.id(), "t", make([]byte, 64<<20), 0); err != nil {
		t.Fatal(err)
	}
	for b.Counters.Received.Load() == 0 { // until it moves
		time.Sleep(time.Millisecond)
	}
	if err := a.Cancel(sent); err != nil {
		t.Fatal(err)
	}
	if e := a.await(t, sent); e.Error != "cancelled" {
		t.Fatalf("got %+v", e)
	}
}

// A receive that is cancelled in the middle of a chunk whose rest does not come gets its buffer back, and keeps the
// connection.
func TestACancelEndsABlockedRead(t *testing.T) {
	a, b := sides(t, patience)
	half, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	go stall(half, b.via, 1<<20) // in the middle of a chunk: heads and TLS take some of it
	b.via = half.Addr().String()
	if _, err := a.Send(b.id(), "t", make([]byte, 64<<20), 0); err != nil {
		t.Fatal(err)
	}
	received, err := b.Receive(a.id(), "t", make([]byte, 64<<20), 0)
	if err != nil {
		t.Fatal(err)
	}
	for b.Counters.Received.Load() < 3*MaxChunk { // the fourth never comes whole
		time.Sleep(time.Millisecond)
	}
	done := make(chan error)
	go func() { done <- b.Cancel(received) }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("cancel waits for bytes that do not come")
	}
	if e := b.await(t, received); e.Error != "cancelled" {
		t.Fatalf("got %+v", e)
	}
}

// stall forwards one connection and stops after limit bytes, without closing anything until the listener closes.
func stall(listener net.Listener, to string, limit int64) {
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for {
		in, err := listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", to)
		if err != nil {
			_ = in.Close()
			return
		}
		conns = append(conns, in, out)
		go func() { _, _ = io.Copy(in, out) }()
		go func() { _, _ = io.CopyN(out, in, limit) }()
	}
}

// A member that speaks TLS but not this protocol.
func TestHostileChunksEndTheConnectionAndNothingElse(t *testing.T) {
	a, b := sides(t, patience)
	into := pattern(1000, 1)
	kept := bytes.Clone(into)
	received, err := b.Receive(a.id(), "t", into, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	var post uint64
	for id := range b.posts {
		post = id
	}
	b.mu.Unlock()
	var head [chunkHead]byte
	attacks := map[string][]byte{
		"noise":                    bytes.Repeat([]byte{0xff}, 4096),
		"a chunk beyond the limit": append([]byte{}, putChunk(&head, try{post, 1}, MaxChunk+1, flagData)...),
		"an unknown flag":          append([]byte{}, putChunk(&head, try{post, 1}, 0, flag(9))...),
		"more than was posted":     append([]byte{}, putChunk(&head, try{post, 1}, 2000, flagData)...),
		"an empty chunk":           append([]byte{}, putChunk(&head, try{post, 1}, 0, flagData)...),
	}
	for name, attack := range attacks {
		conn, err := a.transport.Dial(context.Background(), b.transport.Addr(), transport.Bulk, b.id())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(attack)
		select {
		case <-b.faults:
		case <-time.After(patience):
			t.Fatalf("%s: no fault", name)
		}
		if _, err := conn.Read(head[:]); err == nil {
			t.Fatalf("%s: the connection stayed open", name)
		}
		_ = conn.Close()
	}
	if !bytes.Equal(into, kept) {
		t.Fatal("hostile bytes reached a posted buffer")
	}
	sent, err := a.Send(b.id(), "t", pattern(1000, 5), 0)
	if err != nil {
		t.Fatal(err)
	}
	if s, r := a.await(t, sent), b.await(t, received); s.Error != "" || r.Error != "" {
		t.Fatalf("after the attacks: %+v %+v", s, r)
	}
}
