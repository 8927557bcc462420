package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pyfl/gocore/identity"
	"pyfl/gocore/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// town is who knows whom: every node here sees all of them as members.
type town struct {
	mu    sync.Mutex
	nodes map[PeerID]*node
}

type node struct {
	*transport.T
	relay  *R
	town   *town
	member bool
	faults atomic.Int64
	blind  sync.Map // addresses that this node's dials are swallowed to
}

func (d *town) resolve(id PeerID) (string, transport.Life, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.nodes[id]
	if n == nil || !n.member {
		return "", 0, false
	}
	return n.Addr(), n.Life(), true
}

func (d *town) add(t *testing.T, member bool, limits Limits) *node {
	t.Helper()
	key, err := identity.LoadKey("")
	if err != nil {
		t.Fatal(err)
	}
	own, err := identity.New(bytes.Repeat([]byte{3}, identity.SwarmKeySize), key)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{town: d, member: member}
	n.T, err = transport.New(transport.Config{Listen: "127.0.0.1:0", Identity: own, Connect: n.connect})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.T.Close() })
	n.relay, err = New(Config{
		Transport: n.T,
		Resolve:   d.resolve,
		Place: func(id PeerID) (string, bool) {
			addr, _, ok := d.resolve(id)
			return addr, ok
		},
		Members: func() []PeerID {
			d.mu.Lock()
			defer d.mu.Unlock()
			var ids []PeerID
			for id, other := range d.nodes {
				if other != n && other.member {
					ids = append(ids, id)
				}
			}
			return ids
		},
		Changed: func(_, _ PeerID) {},
		Fault:   func(string, error) { n.faults.Add(1) },
		Limits:  limits,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.relay.Close)
	d.mu.Lock()
	d.nodes[n.Self()] = n
	d.mu.Unlock()
	return n
}

func (n *node) connect(ctx context.Context, addr string) (net.Conn, error) {
	if _, blind := n.blind.Load(addr); blind {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
}

func newTown() *town { return &town{nodes: map[PeerID]*node{}} }

// trio is a town of three members; the limits are r's.
func trio(t *testing.T, limits Limits) (d *town, a, b, r *node) {
	t.Helper()
	d = newTown()
	return d, d.add(t, true, Limits{}), d.add(t, true, Limits{}), d.add(t, true, limits)
}

// echo serves a plane by sending back what comes.
func (n *node) echo(t *testing.T, plane transport.Plane) {
	t.Helper()
	listener, err := n.Listen(plane)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := listener.AcceptPeer()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
}

func (n *node) dial(to *node, plane transport.Plane) (*transport.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return n.Dial(ctx, to.Addr(), plane, to.Self())
}

func pingPong(t *testing.T, conn *transport.Conn, size int) {
	t.Helper()
	sent := bytes.Repeat([]byte("around"), size/6)
	go func() { _, _ = conn.Write(sent) }()
	got := make([]byte, len(sent))
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(sent, got) {
		t.Fatalf("%d bytes came back wrong: %v", size, err)
	}
}

func TestTheInnerConnectionProvesBothEndsAndNamesTheOneBetween(t *testing.T) {
	_, a, b, r := trio(t, Limits{})
	listener, err := b.Listen(transport.Message)
	if err != nil {
		t.Fatal(err)
	}
	a.blind.Store(b.Addr(), true)
	near, err := a.dial(b, transport.Message)
	if err != nil {
		t.Fatal(err)
	}
	far, err := listener.AcceptPeer()
	if err != nil {
		t.Fatal(err)
	}
	if near.Peer() != b.Self() || far.Peer() != a.Self() || near.Via() != r.Self() || far.Via() != r.Self() ||
		near.Life() != b.Life() || far.Life() != a.Life() {
		t.Fatalf("near %s via %s, far %s via %s", near.Peer(), near.Via(), far.Peer(), far.Via())
	}
	// The end of one side reaches the other with everything that was said before.
	words := bytes.Repeat([]byte("last words "), 100_000)
	go func() { _, _ = near.Write(words); _ = near.Close() }()
	_ = far.SetReadDeadline(time.Now().Add(patience))
	if heard, _ := io.ReadAll(far); !bytes.Equal(heard, words) {
		t.Fatalf("%d of %d bytes arrived before the end", len(heard), len(words))
	}
}

func TestALyingRelayIsFoundOutByTheHandshakeInside(t *testing.T) {
	d, a, b, r := trio(t, Limits{})
	liar := d.add(t, true, Limits{})
	liar.echo(t, transport.Message)
	_ = r.relay.listener.Close() // in its place: one that connects to somebody else
	listener, err := r.Listen(transport.Relay)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := listener.AcceptPeer()
			if err != nil {
				return
			}
			if _, _, _, err := readHead(conn); err != nil {
				continue
			}
			far, err := r.DialStraight(context.Background(), liar.Addr(), transport.Relay, liar.Self())
			if err != nil {
				continue
			}
			_, _ = far.Write(encodeDeliver(a.Self()))
			_, _ = conn.Write([]byte{byte(answerOpen)})
			go func() { _, _ = io.Copy(conn, far) }()
			go func() { _, _ = io.Copy(far, conn) }()
		}
	}()
	a.blind.Store(b.Addr(), true)
	a.blind.Store(liar.Addr(), true) // nobody else is asked
	var wrong *transport.WrongPeerError
	if _, err := a.dial(b, transport.Message); !errors.As(err, &wrong) {
		t.Fatalf("got %v", err)
	}
}

func TestARefusalBehindARelayMeansGoneAndCostsNoWait(t *testing.T) {
	_, a, b, r := trio(t, Limits{})
	b.echo(t, transport.Message)
	a.blind.Store(b.Addr(), true)
	conn, err := a.dial(b, transport.Message)
	if err != nil {
		t.Fatal(err)
	}
	b.relay.Close()
	_ = b.Close()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("its end was not seen: %v", err)
	}
	var gone *transport.GoneError
	if _, err := a.dial(b, transport.Message); !errors.As(err, &gone) || !transport.Gone(err) || gone.Via != r.Self() {
		t.Fatalf("got %v", err)
	}
}

func TestARefusedStraightDialAsksNobodyWhereOneGotThroughBefore(t *testing.T) {
	_, a, b, r := trio(t, Limits{})
	b.echo(t, transport.Message)
	conn, err := a.dial(b, transport.Message)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	b.relay.Close()
	_ = b.Close()
	a.blind.Store(r.Addr(), true) // would be noticed: to ask it takes until the dial's end
	var gone *transport.GoneError
	if _, err := a.dial(b, transport.Message); !transport.Gone(err) || errors.As(err, &gone) {
		t.Fatalf("got %v", err)
	}
}

func TestOnlyMembersAreServedAndOnlyKnownOnesReached(t *testing.T) {
	d, a, b, r := trio(t, Limits{})
	stranger := d.add(t, false, Limits{})
	ctx := context.Background()
	for name, c := range map[string]struct {
		from   *node
		target PeerID
		addr   string
	}{
		"a stranger asks":       {stranger, b.Self(), b.Addr()},
		"for a stranger":        {a, stranger.Self(), stranger.Addr()},
		"for nobody":            {a, strings.Repeat("0", 32), b.Addr()},
		"at another address":    {a, b.Self(), "127.0.0.1:1"},
		"for who asks":          {a, a.Self(), a.Addr()},
		"for the relay itself":  {a, r.Self(), r.Addr()},
		"for an impossible one": {a, "../../etc", b.Addr()},
	} {
		conn, err := c.from.relay.open(ctx, c.target, c.addr, r.Self())
		if err == nil {
			_ = conn.Close()
			t.Errorf("%s: was served", name)
		} else if transport.Gone(err) {
			t.Errorf("%s: was told that it is gone: %v", name, err)
		}
	}
}

func TestWhatOneMemberCausesIsBoundedAndOthersAreServedMeanwhile(t *testing.T) {
	d := newTown()
	few := Limits{PerPeer: 4, All: 6, SetUp: 500 * time.Millisecond}
	flood, a, b, r := d.add(t, true, Limits{}), d.add(t, true, Limits{}), d.add(t, true, Limits{}), d.add(t, true, few)
	b.echo(t, transport.Message)
	var held []*transport.Conn
	busy := false
	for range 12 {
		conn, err := flood.relay.open(context.Background(), b.Self(), b.Addr(), r.Self())
		if err != nil {
			busy = busy || strings.Contains(err.Error(), "as much as it may")
			continue
		}
		held = append(held, conn)
	}
	if len(held) != few.PerPeer || !busy {
		t.Fatalf("one member holds %d connections, may hold %d; busy was said: %v", len(held), few.PerPeer, busy)
	}
	a.blind.Store(b.Addr(), true)
	a.blind.Store(flood.Addr(), true)
	conn, err := a.dial(b, transport.Message)
	if err != nil {
		t.Fatal(err)
	}
	pingPong(t, conn, 6<<16)
	_ = conn.Close()
	for _, c := range held {
		_ = c.Close()
	}
	await(t, func() bool { carried, _ := r.relay.Carried(); return carried == 0 })
}

func TestConnectionsThatSayNothingOrNoiseEndByThemselves(t *testing.T) {
	d := newTown()
	a, r := d.add(t, true, Limits{}), d.add(t, true, Limits{SetUp: 200 * time.Millisecond})
	for _, first := range [][]byte{nil, {opOpen}, bytes.Repeat([]byte{0xff}, 200), append([]byte{opOpen}, bytes.Repeat([]byte{'A'}, 200)...)} {
		conn, err := a.DialStraight(context.Background(), r.Addr(), transport.Relay, r.Self())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(first)
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.ReadAll(conn); errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("after %q the connection stayed open", first)
		}
		_ = conn.Close()
	}
	await(t, func() bool { r.relay.mu.Lock(); defer r.relay.mu.Unlock(); return r.relay.served == 0 })
}

func TestASilentSpliceEnds(t *testing.T) {
	_, a, b, r := trio(t, Limits{Idle: 300 * time.Millisecond})
	b.echo(t, transport.Message)
	a.blind.Store(b.Addr(), true)
	conn, err := a.dial(b, transport.Message)
	if err != nil {
		t.Fatal(err)
	}
	pingPong(t, conn, 6<<10)
	await(t, func() bool { carried, _ := r.relay.Carried(); return carried == 0 })
	_ = conn.Close()
}

func TestBothEndsPreferTheSameRelayAndPairsAreSpread(t *testing.T) {
	d := newTown()
	var nodes []*node
	for range 8 {
		nodes = append(nodes, d.add(t, true, Limits{}))
	}
	chosen := map[PeerID]int{}
	for i, one := range nodes {
		for _, other := range nodes[i+1:] {
			there, back := one.relay.candidates(other.Self()), other.relay.candidates(one.Self())
			if len(there) != maxAsked || there[0] != back[0] {
				t.Fatalf("one end prefers %v, the other %v", there, back)
			}
			chosen[there[0]]++
		}
	}
	if len(chosen) < 5 {
		t.Fatalf("28 pairs use only %d of 8 relays", len(chosen))
	}
}

func await(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}
