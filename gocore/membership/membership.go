// The running membership: memberlist, the table over it, and the goroutines between.

package membership

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-sockaddr"
	"github.com/hashicorp/memberlist"

	"pyfl/gocore/goroutines"
	"pyfl/gocore/transport"
)

// ErrClosed: the membership was closed.
var ErrClosed = errors.New("membership is closed")

// Config of a membership.
type Config struct {
	Transport   *transport.T
	Advertise   string // "ip:port" told to others; "" means what the transport listens on
	Name        string
	Labels      map[string]string
	Join        []string      // "host:port"
	JoinTimeout time.Duration // then JoinFailed, once
	Probe       time.Duration // interval; the timeout is half of it
	Quiet       bool          // neither probes nor gossips (tests)
	// Events takes Up, Update, Down, LinkDown, Joined and JoinFailed, one at a time and in order. It is called with the
	// membership's lock held: it must not block or call back.
	Events func(any)
	// Moved: this machine has lost the address from, and the others are told of another. It must not block.
	Moved func(from string)
	Fault func(where string, err error)
	// Ready is called before the first event, with what New will return.
	Ready func(*M)
}

// M is one node's membership.
type M struct {
	config  Config
	list    *memberlist.Memberlist
	gossip  *gossip
	ctx     context.Context
	cancel  context.CancelFunc
	running *goroutines.Group

	mu      sync.Mutex
	closed  bool
	leaving bool
	self    Member
	card    []byte
	table   table
	changed chan struct{} // closed and replaced when the table changes
	hurry   chan struct{} // a peer went: look for it soon
	rtt     map[PeerID]time.Duration
	places  map[string]PeerID // addresses where a known peer said it is and gossip does not have it (yet)
}

// New starts the membership, and to join the addresses of the configuration.
func New(config Config) (*M, error) {
	if err := CheckSelf(config.Name, config.Labels); err != nil {
		return nil, err
	}
	advertise, err := advertised(config.Transport.Addr(), config.Advertise)
	if err != nil {
		return nil, err
	}
	listener, err := config.Transport.Listen(transport.Member)
	if err != nil {
		return nil, err
	}
	m := &M{config: config, running: goroutines.Told(config.Fault), changed: make(chan struct{}), hurry: make(chan struct{}, 1), rtt: map[PeerID]time.Duration{}, places: map[string]PeerID{}}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.table = table{entries: map[PeerID]*entry{}, emit: m.emit, probe: m.startProbe}
	m.self = Member{ID: config.Transport.Self(), Name: config.Name, Addr: advertise.String(), Labels: config.Labels,
		Life: config.Transport.Life(), nominal: advertise.String()}
	if m.card, err = encodeCard(m.self); err != nil {
		return nil, err
	}
	m.gossip = &gossip{transport: config.Transport, listener: listener, advertise: advertise, spawn: m.running.Go,
		fault: config.Fault, broken: m.Broken, accepted: m.Seen, locate: m.locate, ctx: m.ctx, cancel: m.cancel}
	if config.Ready != nil {
		config.Ready(m)
	}
	m.gossip.start()
	if m.list, err = memberlist.Create(m.listConfig()); err != nil {
		m.cancel()
		_ = listener.Close()
		m.running.Wait()
		return nil, fmt.Errorf("membership: %w", err)
	}
	m.running.Go("membership.join", m.joinLoop)
	if follows(config.Transport.Addr(), config.Advertise) {
		m.running.Go("membership.place", m.followPlace)
	}
	return m, nil
}

// listConfig: measured over TLS with saturated cores, these settings let everyone know of a killed or stopped peer in
// 2.1-3.0 s without false alarms (stock LAN settings: 5.8 s).
func (m *M) listConfig() *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.Name = m.config.Transport.Self()
	c.Transport = m.gossip
	c.AdvertiseAddr, c.AdvertisePort = m.gossip.advertise.IP.String(), m.gossip.advertise.Port
	c.Delegate, c.Events, c.Alive, c.Ping, c.Conflict = listener{m}, listener{m}, listener{m}, listener{m}, listener{m}
	c.Logger = log.New(io.Discard, "", 0)
	c.DisableTcpPings = true // the "packets" are TCP already
	c.EnableCompression = false
	c.RequireNodeNames = false
	c.UDPBufferSize = 16 << 10
	c.TCPTimeout = 5 * time.Second
	c.SuspicionMult, c.SuspicionMaxTimeoutMult = 3, 2
	c.AwarenessMaxMultiplier = 8
	c.DeadNodeReclaimTime = time.Nanosecond // identity is proven by key: a dead peer may come back elsewhere at once
	c.ProbeInterval, c.ProbeTimeout = m.config.Probe, m.config.Probe/2
	c.GossipInterval = m.config.Probe / 5
	c.PushPullInterval = 20 * m.config.Probe
	c.QueueCheckInterval = time.Hour
	if m.config.Quiet {
		c.ProbeInterval, c.GossipInterval, c.PushPullInterval = 0, 0, 0
	}
	return c
}

func advertised(listens, wanted string) (*net.TCPAddr, error) {
	if wanted == "" {
		wanted = listens
	}
	host, port, err := net.SplitHostPort(wanted)
	if err != nil {
		return nil, fmt.Errorf("advertise %q: %w", wanted, err)
	}
	ip := net.ParseIP(host)
	if ip == nil && host != "" {
		return nil, fmt.Errorf("advertise %q: %q is not an IP address", wanted, host)
	}
	if ip == nil || ip.IsUnspecified() {
		listening, _, _ := net.SplitHostPort(listens)
		ip = privateIP(net.ParseIP(listening).To4() != nil)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("advertise %q: %w", wanted, err)
	}
	if number == 0 {
		_, port, _ = net.SplitHostPort(listens)
		number, _ = strconv.Atoi(port)
	}
	if v4 := ip.To4(); v4 != nil {
		ip = v4
	}
	return &net.TCPAddr{IP: ip, Port: number}, nil
}

// privateIP is this machine's address in its own network. A socket on 0.0.0.0 takes IPv4 alone, so that
// an IPv6 address would lead nobody to it.
func privateIP(onlyIPv4 bool) net.IP {
	found, err := sockaddr.GetPrivateInterfaces()
	if err == nil && onlyIPv4 {
		found, _ = sockaddr.FilterIfByType(found, sockaddr.TypeIPv4)
	}
	if err != nil || len(found) == 0 {
		return net.IPv4(127, 0, 0, 1)
	}
	return *(*sockaddr.ToIPAddr(found[0].SockAddr)).NetIP()
}

// emit runs under the lock.
func (m *M) emit(event any) {
	if m.closed {
		return
	}
	close(m.changed)
	m.changed = make(chan struct{})
	if _, down := event.(Down); down {
		m.lookSoon()
	}
	m.config.Events(event)
}

// lookSoon lets the join loop not wait for its pause to end.
func (m *M) lookSoon() {
	select {
	case m.hurry <- struct{}{}:
	default:
	}
}

// startProbe dials the peer directly. It runs under the lock.
func (m *M) startProbe(member Member) {
	if m.closed {
		return
	}
	m.running.Go("membership.probe", func() {
		result, life := m.probe(member)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.table.probed(member, result, life)
	})
}

const probeTimeout = time.Second

func (m *M) probe(member Member) (outcome, transport.Life) {
	ctx, cancel := context.WithTimeout(m.ctx, probeTimeout)
	defer cancel()
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		conn, err := m.config.Transport.Dial(ctx, member.Addr, transport.Member, member.ID)
		if err == nil {
			life := conn.Life()
			_ = conn.Close()
			return answered, life
		}
		if transport.Gone(err) || transport.Refused(err) {
			return refused, 0
		}
		if !transport.Broken(err) {
			return silent, 0
		}
		select { // cut off half-way: a process that is dying is gone in a moment
		case <-time.After(pause):
		case <-ctx.Done():
			return silent, 0
		}
	}
}

// Self is this node as the others see it.
func (m *M) Self() Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.self
}

// Members are the peers that are up, by id, without this node.
func (m *M) Members() []Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	var members []Member
	for _, id := range slices.Sorted(maps.Keys(m.table.entries)) {
		if e := m.table.entries[id]; e.up {
			members = append(members, e.member)
		}
	}
	return members
}

// Resolve gives the address and the present life of a peer that is up, or that only gossip has given up.
func (m *M) Resolve(id PeerID) (addr string, life transport.Life, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.table.entries[id]
	if e == nil || e.over || m.closed {
		return "", 0, false
	}
	return e.member.Addr, e.member.Life, true
}

// Place is the last known address of a peer, also of one whose process has ended.
func (m *M) Place(id PeerID) (addr string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.table.entries[id]
	if e == nil || m.closed {
		return "", false
	}
	return e.member.Addr, true
}

// Await blocks until this life of the peer is up; an error when it is over, or ctx ends.
func (m *M) Await(ctx context.Context, id PeerID, life transport.Life) error {
	for {
		m.mu.Lock()
		e, changed, closed := m.table.entries[id], m.changed, m.closed
		up := e != nil && e.up && e.member.Life == life
		over := e != nil && e.member.Life == life && e.over && e.left
		m.mu.Unlock()
		switch {
		case closed:
			return ErrClosed
		case up:
			return nil
		case over:
			return errors.New("that life of the peer has ended")
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// RTT is the last round-trip time measured to a peer; 0 when unknown.
func (m *M) RTT(id PeerID) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rtt[id]
}

// Dropped counts gossip packets that were not sent.
func (m *M) Dropped() int64 { return m.gossip.dropped.Load() }

// Announce replaces the meta bytes and the eligibility that the others see.
func (m *M) Announce(meta []byte, eligible bool) error {
	if len(meta) > MaxMeta {
		return fmt.Errorf("%w: meta has %d bytes, at most %d", ErrArgument, len(meta), MaxMeta)
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	next := m.self
	next.Meta, next.Eligible = slices.Clone(meta), eligible
	err := m.become(next)
	m.mu.Unlock()
	if err != nil {
		return err
	}
	return m.tell()
}

// Founded tells the others that this node knows a ledger, so that nobody founds a second one.
func (m *M) Founded() error {
	m.mu.Lock()
	next := m.self
	next.Founded = true
	var err error
	if !m.closed {
		err = m.become(next)
	}
	m.mu.Unlock()
	if err != nil {
		return err
	}
	return m.tell()
}

// become makes this what the others are told of this node. It runs under the lock; after an error nothing has changed.
func (m *M) become(next Member) error {
	card, err := encodeCard(next)
	if err == nil {
		m.self, m.card = next, card
	}
	return err
}

// tell lets gossip spread the new card. It does not wait for the first packet: the broadcast is queued, and an error
// here could only say that it has not left yet.
func (m *M) tell() error {
	_ = m.list.UpdateNode(time.Millisecond)
	return nil
}

// Broken: a connection with the peer ended without a goodbye, or a dial to it was refused.
func (m *M) Broken(id PeerID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.table.broken(id)
}

// Goodbye: the peer said that it leaves.
func (m *M) Goodbye(id PeerID, life transport.Life) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.table.goodbye(id, life)
}

// Seen: the peer made a new connection.
func (m *M) Seen(id PeerID, life transport.Life) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.table.seen(id, life)
}

// Leave tells memberlist; the goodbyes on the message plane come before it.
func (m *M) Leave(timeout time.Duration) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	m.leaving = true
	m.mu.Unlock()
	return m.list.Leave(timeout)
}

// Close stops everything. memberlist's own goroutines end within a probe's time after it.
func (m *M) Close() {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return
	}
	m.closed = true
	close(m.changed)
	m.changed = make(chan struct{})
	m.mu.Unlock()
	if m.list != nil {
		_ = m.list.Shutdown()
	}
	m.running.Wait()
}
