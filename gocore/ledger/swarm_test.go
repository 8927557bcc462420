// A swarm for tests: ledgers over loopback TCP whose first bytes name the peer, as TLS would prove it; a membership
// that the test moves by hand; and a record of every event.

package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
)

// beat: at 200 ms a machine with several test runs on it deposes leaders.
const beat = 500 * time.Millisecond

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// within is a watchdog, not a claim about time.
const within = 30 * time.Second

type swarm struct {
	t  testing.TB
	mu sync.Mutex

	nodes   map[PeerID]*node // running
	members map[PeerID]Member
	beat    time.Duration
	tune    func(*Config)
	barred  map[route]bool
}

type route struct {
	from, to PeerID
	plane    Plane
}

type node struct {
	*Ledger
	s      *swarm
	id     PeerID
	mu     sync.Mutex
	events []any
	more   broadcast
	conns  map[net.Conn]route
	planes map[Plane]net.Listener
	dead   bool
}

func peerNamed(n int) PeerID { return fmt.Sprintf("%032x", n) }

func newSwarm(t testing.TB) *swarm {
	s := &swarm{t: t, nodes: map[PeerID]*node{}, members: map[PeerID]Member{}, beat: beat, barred: map[route]bool{}}
	t.Cleanup(func() {
		for _, n := range s.running() {
			n.stop()
		}
	})
	return s
}

func (s *swarm) running() []*node {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*node
	for _, n := range s.nodes {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b *node) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	return out
}

func (s *swarm) live() []Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Member, 0, len(s.members))
	for _, m := range s.members {
		out = append(out, m)
	}
	return out
}

func (s *swarm) node(id PeerID) *node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes[id]
}

// start runs peer n; found as in Config. Everyone sees it as a live, eligible member.
func (s *swarm) start(n int, found bool, change ...func(*Config)) *node {
	s.t.Helper()
	id := peerNamed(n)
	x := &node{s: s, id: id, conns: map[net.Conn]route{}, planes: map[Plane]net.Listener{}}
	for _, plane := range []Plane{PlaneRaft, PlaneWatch} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			s.t.Fatal(err)
		}
		x.planes[plane] = &claimListener{listener, x}
	}
	cfg := Config{
		Self: id, RaftListener: x.planes[PlaneRaft], WatchListener: x.planes[PlaneWatch], Dial: x.dial,
		PeerOf: func(c net.Conn) PeerID { return c.(*claimConn).peer },
		Live:   s.live, Found: found, Heartbeat: s.beat, Events: x.record,
	}
	if os.Getenv("LEDGER_LOG") != "" {
		cfg.Logger = hclog.New(&hclog.LoggerOptions{Name: fmt.Sprint(n), Level: hclog.Debug, Output: os.Stderr})
	}
	if s.tune != nil {
		s.tune(&cfg)
	}
	for _, f := range change {
		f(&cfg)
	}
	s.mu.Lock()
	s.nodes[id] = x
	s.mu.Unlock()
	l, err := New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	x.mu.Lock()
	x.Ledger = l
	x.mu.Unlock()
	s.set(Member{ID: id, Eligible: true})
	return x
}

// set changes what everyone sees of members.
func (s *swarm) set(members ...Member) {
	s.mu.Lock()
	for _, m := range members {
		s.members[m.ID] = m
	}
	s.mu.Unlock()
	s.tell(func(n *node) { n.MembershipChanged() })
}

// gone takes a member out of everyone's list, and says how it went.
func (s *swarm) gone(id PeerID, confirmed, left bool) {
	s.mu.Lock()
	delete(s.members, id)
	s.mu.Unlock()
	s.tell(func(n *node) { n.PeerDown(id, confirmed, left) })
}

func (s *swarm) tell(f func(*node)) {
	for _, n := range s.running() {
		f(n)
	}
}

// cut ends a node's network at once, as a kill does to others; its process goes on until stop.
func (x *node) cut() {
	x.mu.Lock()
	x.dead = true
	conns := x.conns
	x.conns = map[net.Conn]route{}
	x.mu.Unlock()
	for _, l := range x.planes {
		l.Close()
	}
	for c := range conns {
		c.Close()
	}
}

func (x *node) stop() {
	x.s.mu.Lock()
	if x.s.nodes[x.id] == x {
		delete(x.s.nodes, x.id)
	}
	x.s.mu.Unlock()
	if err := x.Close(); err != nil {
		x.s.t.Error(err)
	}
}

// kill cuts a node off, tells nobody, and reaps it.
func (x *node) kill() {
	x.cut()
	x.stop()
}

func (x *node) hold(c net.Conn, r route) bool {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.dead || x.s.barred[r] {
		return false
	}
	x.conns[c] = r
	return true
}

// bar closes a route.
func (s *swarm) bar(r route) {
	x := s.node(r.from)
	s.mu.Lock()
	s.barred[r] = true
	s.mu.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	for c, of := range x.conns {
		if of == r {
			c.Close()
		}
	}
}

func (x *node) dial(ctx context.Context, peer PeerID, plane Plane) (net.Conn, error) {
	to := x.s.node(peer)
	if to == nil {
		return nil, errors.New("connection refused")
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", to.planes[plane].Addr().String())
	if err != nil {
		return nil, err
	}
	if !x.hold(conn, route{x.id, peer, plane}) {
		conn.Close()
		return nil, errors.New("network is unreachable")
	}
	_, err = conn.Write([]byte(x.id))
	return conn, err
}

type claimListener struct {
	net.Listener
	x *node
}

type claimConn struct {
	net.Conn
	peer PeerID
}

func (c *claimListener) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		claim := make([]byte, 32)
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.ReadFull(conn, claim); err != nil || !c.x.hold(conn, route{}) {
			conn.Close()
			continue
		}
		conn.SetReadDeadline(time.Time{})
		return &claimConn{conn, string(claim)}, nil
	}
}

func (x *node) record(event any) {
	x.mu.Lock()
	x.events = append(x.events, event)
	x.mu.Unlock()
	x.more.wake()
}

// seen waits for a condition on the events so far.
func (x *node) seen(what string, ok func(events []any) bool) {
	x.s.t.Helper()
	watchdog := time.After(within)
	for {
		more := x.more.wait()
		x.mu.Lock()
		good := ok(x.events)
		x.mu.Unlock()
		if good {
			return
		}
		select {
		case <-more:
		case <-watchdog:
			x.mu.Lock()
			defer x.mu.Unlock()
			x.s.t.Fatalf("peer %s never saw %s; its last events: %+v", x.id[28:], what, last(x.events, 12))
		}
	}
}

func last(events []any, n int) []any { return events[max(0, len(events)-n):] }

// newest returns the last event of a type.
func newest[E any](events []any) (found E, ok bool) {
	for _, e := range slices.Backward(events) {
		if e, is := e.(E); is {
			return e, true
		}
	}
	return found, false
}

func (x *node) leads() {
	x.s.t.Helper()
	x.seen("itself lead", func(events []any) bool { l, _ := newest[Leader](events); return l.Me })
}

func (x *node) votersAre(ids ...int) {
	x.s.t.Helper()
	var want []PeerID
	for _, n := range ids {
		want = append(want, peerNamed(n))
	}
	x.seen(fmt.Sprintf("the voters %v", ids), func(events []any) bool {
		c, _ := newest[Committee](events)
		return slices.Equal(c.Voters, want)
	})
}

func (x *node) votersCount(n int) {
	x.s.t.Helper()
	x.seen(fmt.Sprintf("%d voters", n), func(events []any) bool {
		c, _ := newest[Committee](events)
		return len(c.Voters) == n
	})
}

// write waits for the end of a write.
func (x *node) write(ops ...Op) WriteError {
	x.s.t.Helper()
	request, err := x.Write(ops)
	if err != nil {
		x.s.t.Fatal(err)
	}
	return x.written(request)
}

func (x *node) written(request int64) (result WriteError) {
	x.s.t.Helper()
	x.seen("the end of its write", func(events []any) bool {
		for _, e := range slices.Backward(events) {
			if d, is := e.(WriteDone); is && d.Request == request {
				result = d.Error
				return true
			}
		}
		return false
	})
	return result
}

func (x *node) must(ops ...Op) {
	x.s.t.Helper()
	if e := x.write(ops...); e != OK {
		x.s.t.Fatalf("write %q on %s ended with %q", ops[0].Key, x.id[28:], e)
	}
}

func (x *node) holds(key, value string) {
	x.s.t.Helper()
	x.seen(fmt.Sprintf("%s=%.20s", key, value), func(events []any) bool {
		for _, e := range slices.Backward(events) {
			if r, is := e.(Record); is && r.Key == key {
				return string(r.Value) == value
			}
		}
		return false
	})
}

// eventually polls a condition that no single event tells.
func (s *swarm) eventually(what string, ok func() bool) {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for watchdog := time.After(within); !ok(); {
		select {
		case <-tick.C:
		case <-watchdog:
			s.t.Fatalf("never: %s", what)
		}
	}
}

// leader waits until one of the nodes leads, and returns it.
func (s *swarm) leader(among ...*node) (leader *node) {
	s.t.Helper()
	s.eventually("one of them leads", func() bool {
		i := slices.IndexFunc(among, func(n *node) bool { return n.Ledger.leads() })
		if i >= 0 {
			leader = among[i]
		}
		return i >= 0
	})
	leader.leads()
	return leader
}

// writeSomewhere repeats a write until the leader of the moment has it: on a loaded machine one may be deposed.
func (s *swarm) writeSomewhere(o Op, among ...*node) *node {
	s.t.Helper()
	for watchdog := time.Now().Add(within); ; {
		lead := s.leader(among...)
		switch e := lead.write(o); e {
		case OK:
			return lead
		case Conflict:
			if r, _ := lead.Read(o.Key); r.Version == o.Version+1 && string(r.Value) == string(o.Value) {
				return lead // it was lost, and committed after all
			}
			s.t.Fatalf("a conflict on %s at version %d", o.Key, o.Version)
		case Denied, NotLeader, Lost, Timeout:
			if time.Now().After(watchdog) {
				s.t.Fatalf("the last write of %s ended with %q", o.Key, e)
			}
		}
	}
}

func op(key string, version uint64, value string) Op {
	return Op{Key: key, Version: version, Value: []byte(value)}
}

func indexesRise(t *testing.T, x *node) {
	t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	var at uint64
	versions := map[string]uint64{}
	for _, e := range x.events {
		if r, is := e.(Record); is {
			if r.Index < at || r.Version <= versions[r.Key] {
				t.Fatalf("peer %s got %s version %d at index %d after index %d", x.id[28:], r.Key, r.Version, r.Index, at)
			}
			at, versions[r.Key] = r.Index, r.Version
		}
	}
}
