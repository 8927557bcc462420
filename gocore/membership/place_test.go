package membership

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"pyfl/gocore/identity"
	"pyfl/gocore/transport"
)

func TestAPlaceTravelsInTheCardAndImpossibleOnesAreRefused(t *testing.T) {
	for _, addr := range []string{"10.0.0.7:7700", "[2001:db8::7]:65535"} {
		m := Member{Addr: addr, nominal: "10.0.0.1:7700"}
		if got, err := placeIn(placeOf(m), m.nominal); err != nil || got != addr {
			t.Errorf("%s arrived as %s, %v", addr, got, err)
		}
	}
	if b := placeOf(Member{Addr: "10.0.0.1:7700", nominal: "10.0.0.1:7700"}); b != nil {
		t.Errorf("a peer that did not move says %x", b)
	}
	for _, b := range [][]byte{{1}, {0, 0, 0, 0, 1, 2}, {10, 0, 0, 1, 0, 0}, make([]byte, 18), make([]byte, 400)} {
		if addr, err := placeIn(b, "10.0.0.1:7700"); err == nil {
			t.Errorf("%x was taken for %s", b, addr)
		}
	}
}

func TestAMemberThatMovedIsOneUpdateWithBothAddresses(t *testing.T) {
	s := newScript()
	var update Update
	emit := s.table.emit
	s.table.emit = func(event any) {
		if u, ok := event.(Update); ok {
			update = u
		}
		emit(event)
	}
	before, after := x(1), x(1)
	after.Addr = "127.0.0.2:1"
	s.alive(before)
	s.alive(after)
	s.expect(t, "up 1", "update")
	if update.From != before.Addr || update.Member.Addr != after.Addr {
		t.Fatalf("got %+v", update)
	}
	after.Meta = []byte("later")
	s.alive(after)
	s.expect(t, "update")
	if update.From != "" {
		t.Fatalf("a peer that stayed moved from %s", update.From)
	}
}

func TestAnAddressIsKeptWhileTheMachineHasItAndReplacedByAnotherNotByLoopback(t *testing.T) {
	m := quiet(t)
	moves := []string{}
	m.config.Moved = func(from string) { moves = append(moves, from) }
	at := func(ip string) func() (*net.TCPAddr, error) {
		return func() (*net.TCPAddr, error) { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 7}, nil }
	}
	yes, no := func(net.IP) bool { return true }, func(net.IP) bool { return false }
	m.mu.Lock()
	m.self.Addr, m.self.nominal = "10.0.0.1:7", "10.0.0.1:7"
	m.mu.Unlock()
	m.look(yes, at("10.0.0.2"))
	m.look(no, at("127.0.0.1"))
	m.look(no, at("10.0.0.1"))
	if len(moves) != 0 || m.Self().Addr != "10.0.0.1:7" {
		t.Fatalf("moved from %v to %s", moves, m.Self().Addr)
	}
	m.look(no, at("10.0.0.2"))
	if len(moves) != 1 || moves[0] != "10.0.0.1:7" || m.Self().Addr != "10.0.0.2:7" {
		t.Fatalf("moved from %v to %s", moves, m.Self().Addr)
	}
	node := *m.list.LocalNode()
	node.Addr, node.Port = net.IPv4(10, 0, 0, 1).To4(), 7
	if seen, err := memberOf(&node); err != nil || seen.Addr != "10.0.0.2:7" {
		t.Fatalf("the others see %+v, %v", seen, err)
	}
}

func TestGossipGoesWhereThePeerIsNow(t *testing.T) {
	m := quiet(t)
	moved := x(1)
	moved.nominal, moved.Addr = "10.0.0.1:7", "10.0.0.2:7"
	m.mu.Lock()
	m.table.entries["x"] = &entry{member: moved, up: true}
	m.mu.Unlock()
	for dest, want := range map[memberlist.Address]string{
		{Addr: "10.0.0.1:7", Name: "x"}: "10.0.0.2:7",
		{Addr: "10.0.0.3:7", Name: "x"}: "10.0.0.3:7", // its next life
		{Addr: "10.0.0.1:7"}:            "10.0.0.1:7",
	} {
		if got := m.locate(dest); got != want {
			t.Errorf("%v is sought at %s, expected %s", dest, got, want)
		}
	}
}

// quiet is a membership that gossips with nobody.
func quiet(t *testing.T) *M {
	t.Helper()
	m, err := New(Config{Transport: port(t), Quiet: true, Probe: 500 * time.Millisecond, Events: func(any) {}, Fault: func(where string, err error) { t.Errorf("%s: %v", where, err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func port(t *testing.T) *transport.T {
	t.Helper()
	key, err := identity.LoadKey("")
	if err != nil {
		t.Fatal(err)
	}
	own, err := identity.New(bytes.Repeat([]byte{4}, identity.SwarmKeySize), key)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := transport.New(transport.Config{Listen: "127.0.0.1:0", Identity: own})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}
