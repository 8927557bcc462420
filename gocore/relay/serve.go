// The one in the middle, and the one that is delivered to.

package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"pyfl/gocore/transport"
)

func (r *R) acceptLoop() {
	for {
		conn, err := r.listener.AcceptPeer()
		if err != nil {
			return
		}
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			_ = conn.Close()
			return
		}
		admitted := r.admit(conn.Peer())
		if admitted {
			r.running.Go("relay.serve", func() {
				defer r.release(conn.Peer())
				r.serve(conn)
			})
		}
		r.mu.Unlock()
		if !admitted {
			_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			_, _ = conn.Write([]byte{byte(answerBusy)})
			_ = conn.Close()
		}
	}
}

// admit counts a connection against who causes it. It runs under the lock.
func (r *R) admit(peer PeerID) bool {
	if r.served >= r.config.Limits.All || r.shares[peer] >= r.config.Limits.PerPeer {
		return false
	}
	r.served++
	r.shares[peer]++
	return true
}

func (r *R) release(peer PeerID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.served--
	if r.shares[peer]--; r.shares[peer] == 0 {
		delete(r.shares, peer)
	}
}

func (r *R) serve(conn *transport.Conn) {
	stop := context.AfterFunc(r.ctx, func() { _ = conn.Close() })
	defer stop()
	deadline := time.Now().Add(r.config.Limits.SetUp)
	_ = conn.SetDeadline(deadline)
	op, peer, addr, err := readHead(conn)
	if err != nil {
		_ = conn.Close()
		if errors.Is(err, errWire) {
			r.config.Fault("relay.serve", fmt.Errorf("peer %s: %w", conn.Peer(), err))
		}
		return
	}
	if op == opDeliver {
		// The handshake inside proves who it is. From here on it is a connection like any other.
		_ = conn.SetDeadline(time.Time{})
		r.config.Transport.ServeRelayed(conn)
		return
	}
	far, said := r.deliver(conn.Peer(), peer, addr, deadline)
	_, err = conn.Write([]byte{byte(said)})
	if err != nil && far != nil {
		_ = far.Close()
	}
	if err != nil || far == nil {
		_ = conn.Close()
		return
	}
	_ = conn.SetDeadline(time.Time{})
	r.splice(conn, far)
}

// deliver connects to the peer that a member wants. It goes where this node knows the peer to be, and never around.
func (r *R) deliver(origin, target PeerID, addr string, deadline time.Time) (*transport.Conn, answer) {
	known, ok := r.config.Place(target)
	if _, _, member := r.config.Resolve(origin); !ok || !member || known != addr || target == origin || target == r.config.Transport.Self() {
		return nil, answerUnknown
	}
	ctx, cancel := context.WithDeadline(r.ctx, deadline.Add(-r.config.Limits.SetUp/4))
	defer cancel()
	conn, err := r.config.Transport.DialStraight(ctx, known, transport.Relay, target)
	if err == nil {
		_ = conn.SetWriteDeadline(deadline)
		if _, err = conn.Write(encodeDeliver(origin)); err == nil {
			_ = conn.SetWriteDeadline(time.Time{})
			return conn, answerOpen
		}
		_ = conn.Close()
	}
	if transport.Gone(err) {
		return nil, answerGone
	}
	return nil, answerFar
}

// splice is two connections and the copying between them.
type splice struct {
	near, far *transport.Conn
	moved     atomic.Int64 // when a byte last passed, in Unix nanoseconds
}

func (s *splice) end() {
	_ = s.near.Close()
	_ = s.far.Close()
}

// lastWords is how long what is on its way may take to arrive once one side has ended.
const lastWords = time.Second

func (r *R) splice(near, far *transport.Conn) {
	s := &splice{near: near, far: far}
	s.moved.Store(time.Now().UnixNano())
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		s.end()
		return
	}
	r.carried[s] = struct{}{}
	r.mu.Unlock()
	defer func() {
		s.end()
		r.mu.Lock()
		delete(r.carried, s)
		r.mu.Unlock()
	}()
	back := make(chan struct{})
	r.running.Go("relay.copy", func() {
		defer close(back)
		r.copy(s, near, far)
	})
	r.copy(s, far, near)
	<-back
}

// copy passes bytes on until one side ends, and then tells the other.
func (r *R) copy(s *splice, to, from *transport.Conn) {
	defer func() {
		_ = to.CloseWrite()
		time.AfterFunc(lastWords, s.end)
	}()
	buffer := make([]byte, 32<<10)
	for {
		_ = from.SetReadDeadline(time.Now().Add(r.config.Limits.Idle))
		n, err := from.Read(buffer)
		if n > 0 {
			s.moved.Store(time.Now().UnixNano())
			_ = to.SetWriteDeadline(time.Now().Add(r.config.Limits.Stall))
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
			r.Bytes.Add(int64(n))
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() && time.Since(time.Unix(0, s.moved.Load())) < r.config.Limits.Idle {
			continue // the other direction moves
		}
		if err != nil {
			return
		}
	}
}
