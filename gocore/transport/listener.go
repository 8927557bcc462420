// The accepting side: bounded handshakes, then each connection to its plane's listener.

package transport

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"time"
)

const (
	handshakeTimeout = 5 * time.Second
	// A handshake takes milliseconds. When this many are open somebody holds them open, and the oldest is that
	// somebody: it is dropped for the new one, so strangers cannot shut members out.
	maxHandshakes = 128
	backlog       = 64
)

// After the TLS handshake the dialer says its greeting and the acceptor one byte and its own. In TLS 1.3 a client learns of
// a rejected certificate only when it reads: this is that read.
const (
	helloWelcome byte = 'w'
	helloNoPlane byte = 'n'
	helloBusy    byte = 'b'

	lifeSize = 8
)

// Listener receives the connections of one plane. It implements net.Listener; Accept's connections are *Conn.
type Listener struct {
	owner *T
	plane Plane
	queue chan *Conn
	done  chan struct{}
	once  sync.Once
}

// Listen takes a plane. Each plane has one listener at a time.
func (t *T) Listen(plane Plane) (*Listener, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, ErrClosed
	}
	if t.listeners[plane] != nil {
		return nil, fmt.Errorf("plane %s has a listener already", plane)
	}
	l := &Listener{owner: t, plane: plane, queue: make(chan *Conn, backlog), done: make(chan struct{})}
	t.listeners[plane] = l
	return l, nil
}

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.AcceptPeer()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptPeer is Accept with the connection's own type.
func (l *Listener) AcceptPeer() (*Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends the plane: waiting Accepts return, queued connections are closed. Accepted ones stay open.
func (l *Listener) Close() error {
	l.once.Do(func() {
		l.owner.mu.Lock()
		delete(l.owner.listeners, l.plane)
		close(l.done)
		l.owner.mu.Unlock()
		for {
			select {
			case c := <-l.queue:
				_ = c.Close()
			default:
				return
			}
		}
	})
	return nil
}

// Addr is the address of the one port.
func (l *Listener) Addr() net.Addr { return l.owner.listener.Addr() }

// put queues c unless the listener closed; the owner's lock orders it before Close's draining.
func (l *Listener) put(c *Conn) bool {
	l.owner.mu.Lock()
	defer l.owner.mu.Unlock()
	select {
	case <-l.done:
		return false
	default:
	}
	select {
	case l.queue <- c:
		return true
	default:
		return false
	}
}

func (t *T) acceptLoop() {
	defer t.wg.Done()
	defer t.recovered("transport.accept")
	for {
		raw, err := t.listener.Accept()
		if err != nil {
			if t.isDeaf() {
				return
			}
			t.fault("transport.accept", err)
			// Out of descriptors, most likely. Waiting a little lets some be closed; the kernel keeps the queue.
			select {
			case <-time.After(50 * time.Millisecond):
				continue
			case <-t.ctx.Done():
				return
			}
		}
		if entry := t.enter(raw); entry != nil {
			t.wg.Go(func() { t.handshake(raw, entry) })
		}
	}
}

// enter makes room among the open handshakes; nil when the transport is closed.
func (t *T) enter(raw net.Conn) *list.Element {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		_ = raw.Close()
		return nil
	}
	if t.pending.Len() >= maxHandshakes {
		oldest := t.pending.Front()
		t.pending.Remove(oldest)
		_ = oldest.Value.(net.Conn).Close()
	}
	return t.pending.PushBack(raw)
}

func (t *T) handshake(raw net.Conn, entry *list.Element) {
	defer t.recovered("transport.handshake")
	c, err := t.accept(raw)
	t.mu.Lock()
	t.pending.Remove(entry)
	t.mu.Unlock()
	if err != nil {
		_ = raw.Close()
		if !t.isClosed() && !errors.Is(err, errNotReady) {
			t.refusals.Add(1)
		}
		if !t.isClosed() && !errors.Is(err, errNotReady) && !Broken(err) { // a dial that was given up is no attack
			t.fault("transport.handshake", fmt.Errorf("%s: %w", raw.RemoteAddr(), err))
		}
		return
	}
	listener := t.listenerOf(c.plane)
	if listener == nil || !listener.put(c) {
		_ = c.Close()
	}
}

var errNotReady = errors.New("this plane is not served now")

func (t *T) accept(raw net.Conn) (*Conn, error) {
	deadline := time.Now().Add(handshakeTimeout)
	if err := raw.SetDeadline(deadline); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	under := newCoalescer(raw)
	secure := tls.Server(under, t.server)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	c, err := t.wrap(secure, under)
	if err != nil {
		return nil, err
	}
	hello := helloWelcome
	listener := t.listenerOf(c.plane)
	if listener == nil {
		hello = helloNoPlane
	} else if len(listener.queue) == cap(listener.queue) {
		hello = helloBusy
	}
	if _, err := c.Write(append([]byte{hello}, t.greeting().encode()...)); err != nil {
		_ = c.Close()
		return nil, err
	}
	if err := t.receiveGreeting(c, fmt.Sprintf("peer %s", c.peer)); err != nil {
		_ = c.Close()
		return nil, err
	}
	if hello != helloWelcome {
		_ = c.Close()
		return nil, errNotReady
	}
	return c, c.SetDeadline(time.Time{})
}

func (t *T) isDeaf() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.deaf || t.closed
}

func (t *T) listenerOf(plane Plane) *Listener {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.listeners[plane]
}

// recovered turns a panic at a goroutine's root into a fault, so that one bad connection cannot end the process.
func (t *T) recovered(where string) {
	if r := recover(); r != nil {
		t.fault(where, fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
	}
}
