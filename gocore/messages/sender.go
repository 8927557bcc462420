// The dialing side: one queue and one connection per peer.

package messages

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"pyfl/gocore/transport"
)

type item struct {
	frame   []byte
	control bool
	written chan struct{} // closed when written; nil when nobody waits
}

// sender owns the outgoing connection to one peer. Frames leave in the order of push; a frame whose write fails is not
// repeated (at most once), those behind it go out on the next connection.
type sender struct {
	plane *Plane
	peer  PeerID
	life  transport.Life
	ctx   context.Context
	halt  context.CancelFunc

	mu       sync.Mutex
	items    []item
	messages int // of items, not control
	wake     chan struct{}
	renew    atomic.Bool // the connection is to be made anew once what is queued was written
}

func newSender(p *Plane, peer PeerID, life transport.Life) *sender {
	s := &sender{plane: p, peer: peer, life: life, wake: make(chan struct{}, 1)}
	s.ctx, s.halt = context.WithCancel(p.ctx)
	return s
}

func (s *sender) stop() { s.halt() }

func (s *sender) push(it item) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !it.control && s.messages >= MaxQueued || it.control && len(s.items)-s.messages >= maxControls {
		return ErrFull
	}
	s.items = append(s.items, it)
	if !it.control {
		s.messages++
	}
	s.signal()
	return nil
}

func (s *sender) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take removes the next frames, at most about 256 KiB of them, so that what is counted as queued stays near the truth.
func (s *sender) take() []item {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, size := 0, 0
	for n < len(s.items) && size < 256<<10 {
		size += len(s.items[n].frame)
		if !s.items[n].control {
			s.messages--
		}
		n++
	}
	batch := s.items[:n:n]
	s.items = s.items[n:]
	if len(s.items) == 0 {
		s.items = nil // lets go of the array, and the frames in it
	}
	return batch
}

func (s *sender) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.items) == 0
}

// wait blocks until there is something to do; false when the sender ends.
func (s *sender) wait(broken <-chan struct{}) bool {
	for s.empty() && !s.renew.Load() {
		select {
		case <-s.wake:
		case <-broken:
			return true
		case <-s.ctx.Done():
			return false
		}
	}
	return s.ctx.Err() == nil
}

func (s *sender) run() {
	for s.wait(nil) {
		conn := s.connect()
		if conn == nil {
			return
		}
		s.serve(conn)
	}
}

// connect dials until it succeeds, with growing pauses; nil when the sender ends. The peer's death ends it through Forget.
func (s *sender) connect() *transport.Conn {
	pause := 50 * time.Millisecond
	for {
		addr, life, ok := s.plane.config.Resolve(s.peer)
		if ok && life == s.life {
			conn, err := s.plane.config.Transport.Dial(s.ctx, addr, transport.Message, s.peer)
			if err == nil && conn.Life() == s.life {
				return conn
			}
			if err == nil {
				_ = conn.Close()
			}
			if (err == nil || transport.Gone(err)) && s.ctx.Err() == nil {
				s.plane.config.Broken(s.peer, false)
			}
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, 2*time.Second)
		case <-s.ctx.Done():
			return nil
		}
	}
}

// serve writes until the connection breaks, is to be renewed, or the sender ends.
func (s *sender) serve(conn *transport.Conn) {
	s.renew.Store(false)
	broken := make(chan struct{})
	s.plane.running.Go("messages.watch", func() {
		defer close(broken)
		var one [1]byte
		if _, err := conn.Read(one[:]); err == nil {
			s.plane.config.Fault("messages.watch", fmt.Errorf("peer %s wrote on a connection it should only read", s.peer))
		}
	})
	defer func() {
		_ = conn.Close()
		<-broken
		if s.ctx.Err() == nil {
			s.plane.config.Broken(s.peer, true)
		}
	}()
	stop := context.AfterFunc(s.ctx, func() { _ = conn.Close() })
	defer stop()
	for s.wait(broken) {
		select {
		case <-broken:
			return
		default:
		}
		if s.empty() {
			return // to be renewed: the peer reads what was written before it reads the next connection
		}
		batch := s.take()
		if err := s.write(conn, batch); err != nil {
			if s.ctx.Err() == nil && errors.Is(err, errWriteTimeout) {
				s.plane.config.Fault("messages.send", fmt.Errorf("peer %s took nothing for %v: connection dropped, %d frames lost",
					s.peer, s.plane.config.WriteTimeout, len(batch)))
			}
			return
		}
	}
}

var errWriteTimeout = errors.New("write timeout")

func (s *sender) write(conn *transport.Conn, batch []item) error {
	if err := conn.SetWriteDeadline(time.Now().Add(s.plane.config.WriteTimeout)); err != nil {
		return err
	}
	for _, it := range batch {
		if _, err := conn.WriteBuffered(it.frame); err != nil {
			return classify(err)
		}
	}
	if err := conn.Flush(); err != nil {
		return classify(err)
	}
	for _, it := range batch {
		if it.written != nil {
			close(it.written)
		}
	}
	return nil
}

func classify(err error) error {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return errors.Join(errWriteTimeout, err)
	}
	return err
}
