// The transport itself: its configuration, its life, and the dialing side.

package transport

import (
	"container/list"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"pyfl/gocore/identity"
)

// Config is what a transport needs.
type Config struct {
	Listen     string // "ip:port"; port 0 takes a free one
	Identity   *identity.Identity
	Congestion string                                                   // tried on each socket, a refusal is ignored; "" leaves the system's
	Version    Version                                                  // zero: Spoken (tests stand in for other builds)
	Connect    func(ctx context.Context, addr string) (net.Conn, error) // nil: TCP (tests stand in for broken networks)
	Fault      func(where string, err error)                            // a defence fired; called from many goroutines, must not block
}

// T is one listening port and the connections made through it. Any goroutine may call.
type T struct {
	config   Config
	listener net.Listener
	dialer   net.Dialer
	server   *tls.Config
	client   *tls.Config
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	refusals atomic.Int64
	life     Life
	detour   atomic.Pointer[Detour]

	mu        sync.Mutex
	ledger    LedgerID
	closed    bool
	deaf      bool
	listeners map[Plane]*Listener
	conns     map[*Conn]struct{}
	pending   *list.List // net.Conn in handshake, oldest first
}

// New opens the port. The error wraps syscall.EADDRINUSE when the address is taken.
func New(config Config) (*T, error) {
	if config.Version == (Version{}) {
		config.Version = Spoken
	}
	if config.Fault == nil {
		config.Fault = func(string, error) {}
	}
	var life [lifeSize]byte
	if _, err := rand.Read(life[:]); err != nil {
		return nil, err
	}
	control := congestionControl(config.Congestion)
	lc := net.ListenConfig{Control: control}
	listener, err := lc.Listen(context.Background(), "tcp", config.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", config.Listen, err)
	}
	t := &T{
		config:    config,
		listener:  listener,
		life:      Life(binary.BigEndian.Uint64(life[:])),
		dialer:    net.Dialer{Control: control},
		listeners: map[Plane]*Listener{},
		conns:     map[*Conn]struct{}{},
		pending:   list.New(),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.client = tlsConfig(config.Identity)
	t.server = tlsConfig(config.Identity)
	t.server.ClientAuth = tls.RequireAnyClientCert // VerifyConnection checks it
	for _, plane := range planes {
		t.server.NextProtos = append(t.server.NextProtos, string(plane))
	}
	t.wg.Add(2)
	go t.acceptLoop()
	go t.watchSilence()
	return t, nil
}

func tlsConfig(own *identity.Identity) *tls.Config {
	return &tls.Config{
		MinVersion:       tls.VersionTLS13,
		Certificates:     []tls.Certificate{own.Certificate},
		CurvePreferences: []tls.CurveID{tls.X25519},
		// The standard check compares host names, which peers do not have. VerifyConnection is the check,
		// and without tickets no session resumes anyway.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := own.CA.Check(state)
			return err
		},
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
	}
}

// Self is this peer's id.
func (t *T) Self() PeerID { return t.config.Identity.ID }

// Addr is the address really listened on.
func (t *T) Addr() string { return t.listener.Addr().String() }

// Life is this run's.
func (t *T) Life() Life { return t.life }

// Refusals counts the handshakes that failed on the accepting side.
func (t *T) Refusals() int64 { return t.refusals.Load() }

// Open counts the connections open now.
func (t *T) Open() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.conns)
}

// Dial connects to the member at addr, within ctx and at most 5 s; around by another member where there is no straight
// way and a detour is set. expect "" takes any member, and goes straight. Errors: *RefusedError, *VersionError,
// *OtherSwarmError, *WrongPeerError, *PlaneError, *GoneError, ErrClosed, or the network's own.
func (t *T) Dial(ctx context.Context, addr string, plane Plane, expect PeerID) (*Conn, error) {
	return t.dial(ctx, addr, plane, expect, t.reach)
}

// DialStraight is Dial without detours.
func (t *T) DialStraight(ctx context.Context, addr string, plane Plane, expect PeerID) (*Conn, error) {
	return t.dial(ctx, addr, plane, expect, func(ctx context.Context, addr string, _ PeerID) (net.Conn, error) {
		return t.connect(ctx, addr)
	})
}

type reach func(ctx context.Context, addr string, peer PeerID) (net.Conn, error)

func (t *T) dial(ctx context.Context, addr string, plane Plane, expect PeerID, reach reach) (*Conn, error) {
	if t.isClosed() {
		return nil, ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	stop := context.AfterFunc(t.ctx, cancel)
	defer stop()
	raw, err := reach(ctx, addr, expect)
	if err != nil {
		if t.isClosed() {
			return nil, ErrClosed
		}
		return nil, err
	}
	c, err := t.greet(ctx, raw, addr, plane)
	if err == nil && expect != "" && c.peer != expect {
		err = &WrongPeerError{Addr: addr, Want: expect, Got: c.peer}
	}
	if err != nil {
		_ = raw.Close()
		if c != nil {
			_ = c.Close()
		}
		if t.isClosed() {
			return nil, ErrClosed
		}
		return nil, err
	}
	return c, nil
}

// greet runs the dialer's handshake up to the acceptor's hello. On error the caller closes raw and the Conn, if any.
func (t *T) greet(ctx context.Context, raw net.Conn, addr string, plane Plane) (*Conn, error) {
	deadline, _ := ctx.Deadline()
	if err := raw.SetDeadline(deadline); err != nil {
		return nil, err
	}
	// A cancelled context must end the read of the hello too, not just the handshake.
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	config := t.client.Clone()
	config.NextProtos = []string{string(plane)}
	under := newCoalescer(raw)
	secure := tls.Client(under, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		if remoteAlert(err) || errors.Is(err, identity.ErrOtherSwarm) {
			return nil, &RefusedError{Addr: addr, Err: err}
		}
		return nil, fmt.Errorf("%s: TLS handshake: %w", addr, err)
	}
	c, err := t.wrap(secure, under)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(t.greeting().encode()); err != nil {
		return c, fmt.Errorf("%s: %w", addr, err)
	}
	var hello [1]byte
	if _, err := io.ReadFull(c, hello[:]); err != nil {
		if remoteAlert(err) {
			return c, &RefusedError{Addr: addr, Err: err}
		}
		return c, fmt.Errorf("%s: no hello: %w", addr, err)
	}
	if err := t.receiveGreeting(c, addr); err != nil {
		return c, err
	}
	if hello[0] != helloWelcome {
		return c, &PlaneError{Addr: addr, Plane: plane}
	}
	if !stop() {
		return c, context.Cause(ctx)
	}
	return c, c.SetDeadline(time.Time{})
}

// wrap makes a Conn of a finished handshake and registers it, so that Close reaches it.
func (t *T) wrap(secure *tls.Conn, under *coalescer) (*Conn, error) {
	state := secure.ConnectionState()
	peer, err := t.config.Identity.CA.Check(state)
	if err != nil {
		return nil, err
	}
	plane := Plane(state.NegotiatedProtocol)
	if plane == "" {
		return nil, errors.New("no plane was named (ALPN)")
	}
	var via PeerID
	if outer, ok := under.Conn.(*Conn); ok {
		via = outer.peer
		if plane == Relay {
			return nil, errChain
		}
	}
	under.start(plane == Bulk)
	c := &Conn{tls: secure, under: under, owner: t, peer: peer, via: via, plane: plane}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, ErrClosed
	}
	t.conns[c] = struct{}{}
	return c, nil
}

func (t *T) untrack(c *Conn) {
	t.mu.Lock()
	delete(t.conns, c)
	t.mu.Unlock()
}

func (t *T) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

func (t *T) fault(where string, err error) { t.config.Fault(where, err) }

// Deafen closes the port and keeps the connections: from now on a dial finds nobody here, which is how the others tell
// a node that ends from a broken link.
func (t *T) Deafen() {
	t.mu.Lock()
	t.deaf = true
	t.mu.Unlock()
	_ = t.listener.Close()
}

// Close closes the port, every listener and every connection, and returns when the transport's goroutines have ended.
func (t *T) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		t.wg.Wait()
		return nil
	}
	t.closed = true
	t.cancel()
	var listeners []*Listener
	for _, l := range t.listeners {
		listeners = append(listeners, l)
	}
	for e := t.pending.Front(); e != nil; e = e.Next() {
		_ = e.Value.(net.Conn).Close()
	}
	t.mu.Unlock()
	_ = t.listener.Close()
	for _, l := range listeners {
		_ = l.Close()
	}
	t.closeIf(func(*Conn) bool { return true })
	t.wg.Wait()
	return nil
}
