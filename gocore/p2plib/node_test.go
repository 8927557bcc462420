package p2plib

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
)

func unchanged(*Config) {}

func TestTwoNodesInOneProcessMeetTalkAndMoveBuffers(t *testing.T) {
	a, b := pair(t, unchanged)
	if err := a.Message(b.id, []byte("tag"), []byte("payload")); err != nil {
		t.Fatal(err)
	}
	m := await(b, func(Message) bool { return true })
	if m.Peer != a.id || string(m.Tag) != "tag" || string(m.Payload) != "payload" {
		t.Fatalf("got %+v", m)
	}
	for _, size := range []int{0, 1, 1000, 256 << 10, 256<<10 + 1, 5_000_000} {
		data, into := make([]byte, size), make([]byte, size)
		_, _ = rand.Read(data)
		tag := []byte{byte(size), byte(size >> 8), byte(size >> 16)}
		sent, err := a.Send(b.id, tag, data, 0)
		if err != nil {
			t.Fatal(err)
		}
		received, err := b.Receive(a.id, tag, into, 0)
		if err != nil {
			t.Fatal(err)
		}
		s := await(a, func(e Sent) bool { return e.Transfer == sent })
		r := await(b, func(e Received) bool { return e.Transfer == received })
		if !s.OK || !r.OK || r.Bytes != size || !bytes.Equal(r.Tag, tag) || !bytes.Equal(data, into) {
			t.Fatalf("%d bytes: %+v %+v, equal %v", size, s, r, bytes.Equal(data, into))
		}
	}
}

func TestAGoodbyeIsToldFromADeath(t *testing.T) {
	a, b := pair(t, unchanged)
	c := openNode(t, testConfig(b.address()))
	for _, n := range []*watched{a, b} {
		await(n, up(c.id))
		await(c, up(n.id))
	}
	if err := c.Leave(patience); err != nil {
		t.Fatal(err)
	}
	c.Close()
	for _, n := range []*watched{a, b} {
		if e := await(n, down(c.id, "left")); !e.Confirmed {
			t.Fatalf("got %+v, expected a confirmed goodbye", e)
		}
		if err := n.Message(c.id, nil, nil); !errors.Is(err, ErrNoPeer) {
			t.Fatalf("a message to a peer that left: %v", err)
		}
	}
}
