// The receiving side: one reader per incoming connection, straight into the posted buffers.

package bulk

import (
	"errors"
	"fmt"
	"net"
	"time"

	"pyfl/gocore/transport"
)

// maxInbound bounds the connections one member can make this side read from.
const maxInbound = 16

func (p *Plane) acceptLoop() {
	for {
		conn, err := p.listener.AcceptPeer()
		if err != nil {
			return
		}
		p.mu.Lock()
		count := 0
		for other := range p.inbound {
			if other.Peer() == conn.Peer() {
				count++
			}
		}
		if p.closed || count >= maxInbound {
			closed := p.closed
			p.mu.Unlock()
			_ = conn.Close()
			if !closed {
				p.config.Fault("bulk.accept", fmt.Errorf("peer %s has more than %d bulk connections", conn.Peer(), maxInbound))
			}
			continue
		}
		p.inbound[conn] = struct{}{}
		p.running.Go("bulk.receive", func() { p.receive(conn) })
		p.mu.Unlock()
	}
}

func (p *Plane) receive(conn *transport.Conn) {
	err := (&reader{plane: p, conn: conn}).run()
	_ = conn.Close()
	peer := conn.Peer()
	p.mu.Lock()
	delete(p.inbound, conn)
	if known := p.peers[peer]; known != nil {
		for _, t := range known.receives {
			if t.conn == conn {
				p.finish(t, reasonPeerLost)
			}
		}
	}
	closed, forgotten := p.closed, p.peers[peer] == nil
	p.mu.Unlock()
	if closed || forgotten {
		return
	}
	if errors.Is(err, errWire) {
		p.config.Fault("bulk.receive", fmt.Errorf("peer %s: %w; connection closed", peer, err))
	}
	p.config.Broken(peer)
}

// reader is the state of one incoming connection.
type reader struct {
	plane    *Plane
	conn     *transport.Conn
	rejected try // the attempt being drained, told to the sender once
	scratch  []byte
}

func (r *reader) run() error {
	var head [chunkHead]byte
	for {
		if _, err := r.fill(head[:], nil); err != nil {
			return err
		}
		t, size, f, err := parseChunk(&head)
		if err != nil {
			return err
		}
		if err := r.chunk(t, size, f); err != nil {
			return err
		}
	}
}

// chunk takes one chunk whose head was read.
func (r *reader) chunk(t try, size int, f flag) error {
	p := r.plane
	p.mu.Lock()
	post := p.posts[t.post]
	known := post != nil && !post.ending && post.peer.id == r.conn.Peer() &&
		(post.conn == nil && f == flagData || post.conn == r.conn && post.try == t)
	if !known {
		p.mu.Unlock()
		if f != flagData {
			r.rejected = try{}
			return nil
		}
		return r.reject(t, size, verdictUnknown)
	}
	switch f {
	case flagAborted:
		post.conn, post.offset, post.progress = nil, 0, time.Now()
		p.mu.Unlock()
		return nil
	case flagExpired:
		p.finish(post, reasonTimeout)
		p.mu.Unlock()
		return nil
	}
	if post.offset+size > len(post.buffer) || size == 0 && len(post.buffer) > 0 {
		p.mu.Unlock()
		return fmt.Errorf("%w: %d bytes at %d of a transfer of %d", errWire, size, post.offset, len(post.buffer))
	}
	if post.conn == nil {
		post.conn, post.try = r.conn, t
	}
	post.busy++
	into := post.buffer[post.offset : post.offset+size]
	p.mu.Unlock()

	n, err := r.fill(into, post)

	p.mu.Lock()
	p.Counters.Received.Add(int64(n))
	post.progress = time.Now()
	post.offset += n
	whole := err == nil && post.offset == len(post.buffer)
	p.released(post)
	if whole {
		p.finish(post, "") // unless its end was decided meanwhile
	}
	reason, ended := post.reason, post.ending
	p.mu.Unlock()
	if err != nil && !errors.Is(err, errDetached) {
		return err
	}
	switch {
	case ended && reason == "":
		return r.answer(t, verdictDone)
	case ended && reason == reasonTimeout:
		return r.reject(t, size-n, verdictExpired)
	case ended:
		return r.reject(t, size-n, verdictWithdrawn)
	}
	return nil
}

var errDetached = errors.New("the buffer was taken back")

// fill reads len(b) bytes. A read deadline is how another goroutine cuts in: if post is ending, the read
// stops with errDetached and what it has; otherwise it goes on.
func (r *reader) fill(b []byte, post *transfer) (int, error) {
	n := 0
	for n < len(b) {
		m, err := r.conn.Read(b[n:])
		n += m
		if err == nil {
			continue
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			return n, err
		}
		// The lock orders this after the interrupter, so that no wake-up is lost.
		r.plane.mu.Lock()
		_ = r.conn.SetReadDeadline(time.Time{})
		detached := post != nil && post.ending
		r.plane.mu.Unlock()
		if detached {
			return n, errDetached
		}
	}
	return n, nil
}

// reject tells the sender once that an attempt has no buffer, and reads past its bytes.
func (r *reader) reject(t try, size int, v verdict) error {
	if r.rejected != t {
		r.rejected = t
		if err := r.answer(t, v); err != nil {
			return err
		}
	}
	if size == 0 {
		return nil
	}
	if r.scratch == nil {
		r.scratch = make([]byte, MaxChunk)
	}
	n, err := r.fill(r.scratch[:size], nil)
	r.plane.Counters.Drained.Add(int64(n))
	return err
}

func (r *reader) answer(t try, v verdict) error {
	var b [statusSize]byte
	if err := r.conn.SetWriteDeadline(time.Now().Add(r.plane.config.Progress)); err != nil {
		return err
	}
	_, err := r.conn.Write(putStatus(&b, t, v))
	return err
}
