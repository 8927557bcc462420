// Which way a dial goes: straight, or around by another member where the network does not let it through.

package transport

import (
	"context"
	"errors"
	"net"
	"slices"
	"syscall"
	"time"
)

// Detour finds ways around. Its methods are called from many goroutines; only Around blocks.
type Detour interface {
	// Around asks other members for a way to the peer. The connection ends at the peer's transport, which serves it by
	// ServeRelayed. *GoneError when they say that its process is not there.
	Around(ctx context.Context, peer PeerID, addr string) (net.Conn, error)
	// Bent says whether the straight way to the peer at this address is known to be closed.
	Bent(peer PeerID, addr string) bool
	// Straight: a straight connection got to this address of the peer.
	Straight(peer PeerID, addr string)
	// Met says whether one ever did.
	Met(peer PeerID, addr string) bool
}

// Use sets the detour of dials from now on.
func (t *T) Use(detour Detour) { t.detour.Store(&detour) }

// patience is how long TCP may take to connect before a way around is looked for; the straight one stays in the race.
const patience = 500 * time.Millisecond

func (t *T) connect(ctx context.Context, addr string) (net.Conn, error) {
	if t.config.Connect != nil {
		return t.config.Connect(ctx, addr)
	}
	return t.dialer.DialContext(ctx, "tcp", addr)
}

// reach connects to a peer. A straight dial that is refused where one got through before means that the process is
// gone: nobody else is asked, so that a death is known as fast as without detours.
func (t *T) reach(ctx context.Context, addr string, peer PeerID) (net.Conn, error) {
	set := t.detour.Load()
	if set == nil || peer == "" {
		return t.connect(ctx, addr)
	}
	detour := *set
	if detour.Bent(peer, addr) {
		around, err := detour.Around(ctx, peer, addr)
		if err == nil || Gone(err) || ctx.Err() != nil {
			return around, err
		}
		return t.straight(ctx, addr, peer, detour)
	}

	type connected struct {
		conn net.Conn
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	aside, straightWon := context.WithCancel(ctx)
	defer straightWon()
	result := make(chan connected, 1)
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, ErrClosed
	}
	t.wg.Go(func() {
		conn, err := t.straight(ctx, addr, peer, detour)
		result <- connected{conn, err}
		if err == nil {
			straightWon()
		}
	})
	t.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case r := <-result:
		if r.err == nil || ctx.Err() != nil || errors.Is(r.err, syscall.ECONNREFUSED) && detour.Met(peer, addr) {
			return r.conn, r.err
		}
		around, err := detour.Around(ctx, peer, addr)
		if err == nil || Gone(err) {
			return around, err
		}
		return nil, r.err
	case <-timer.C:
	}
	around, err := detour.Around(aside, peer, addr)
	if err != nil && !Gone(err) {
		r := <-result
		return r.conn, r.err
	}
	cancel()
	if r := <-result; r.conn != nil { // both got there
		if around != nil {
			_ = around.Close()
		}
		return r.conn, nil
	}
	return around, err
}

func (t *T) straight(ctx context.Context, addr string, peer PeerID, detour Detour) (net.Conn, error) {
	conn, err := t.connect(ctx, addr)
	if err == nil {
		detour.Straight(peer, addr)
	}
	return conn, err
}

// ServeRelayed takes a connection that another member passes on as if it had come to the port. It returns after the
// handshake; call it before Close.
func (t *T) ServeRelayed(outer *Conn) {
	if entry := t.enter(outer); entry != nil {
		t.handshake(outer, entry)
	}
}

// CloseStraight closes the straight connections with a peer.
func (t *T) CloseStraight(peer PeerID) {
	t.closeIf(func(c *Conn) bool { return c.peer == peer && c.via == "" })
}

// CloseRelayed closes the connections of some planes with a peer that another one passes on.
func (t *T) CloseRelayed(peer PeerID, planes ...Plane) {
	t.closeIf(func(c *Conn) bool { return c.peer == peer && c.via != "" && slices.Contains(planes, c.plane) })
}

// CloseAt closes the straight connections that have one end at the address's IP; peer "" means those of all.
func (t *T) CloseAt(peer PeerID, addr string) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return
	}
	at := net.ParseIP(host)
	t.closeIf(func(c *Conn) bool {
		if c.via != "" || peer != "" && c.peer != peer {
			return false
		}
		for _, end := range []net.Addr{c.LocalAddr(), c.RemoteAddr()} {
			if tcp, ok := end.(*net.TCPAddr); ok && tcp.IP.Equal(at) {
				return true
			}
		}
		return false
	})
}

// CloseVia closes the connections that a peer passes on for this one.
func (t *T) CloseVia(via PeerID) { t.closeIf(func(c *Conn) bool { return c.via == via }) }

func (t *T) closeIf(condition func(*Conn) bool) {
	t.mu.Lock()
	ends := t.matching(condition)
	t.mu.Unlock()
	closeAll(ends)
}

// matching is called with the lock held.
func (t *T) matching(condition func(*Conn) bool) []*Conn {
	var found []*Conn
	for c := range t.conns {
		if condition(c) {
			found = append(found, c)
		}
	}
	return found
}

func closeAll(conns []*Conn) {
	for _, c := range conns {
		_ = c.Close()
	}
}
