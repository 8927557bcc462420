// The accepting side: one reader per peer, which stops reading while the inbox is full.

package messages

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"pyfl/gocore/transport"
)

// receiver reads one incoming connection.
type receiver struct {
	conn  *transport.Conn
	done  chan struct{}
	quiet atomic.Bool // its end is expected: superseded or forgotten
}

func (r *receiver) stop() {
	r.quiet.Store(true)
	_ = r.conn.Close()
}

func (p *Plane) acceptLoop() {
	for {
		conn, err := p.listener.AcceptPeer()
		if err != nil {
			return
		}
		r := &receiver{conn: conn, done: make(chan struct{})}
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			_ = conn.Close()
			return
		}
		old := p.incoming[conn.Peer()]
		p.incoming[conn.Peer()] = r
		p.running.Go("messages.receive", func() { p.receive(r, old) })
		p.mu.Unlock()
	}
}

// supersedeTimeout is how long what is left in a superseded connection may take to arrive.
const supersedeTimeout = time.Second

// receive reads r until it ends. A peer that dialed again has given its old connection up: what that still holds is
// read first, so that messages stay in order.
func (p *Plane) receive(r, old *receiver) {
	defer close(r.done)
	peer := r.conn.Peer()
	if old != nil {
		old.quiet.Store(true)
		_ = old.conn.SetReadDeadline(time.Now().Add(supersedeTimeout))
		<-old.done
	}
	err := p.config.Admit(p.ctx, peer, r.conn.Life())
	if err == nil {
		err = p.read(r, peer)
	}
	_ = r.conn.Close()
	p.mu.Lock()
	if p.incoming[peer] == r {
		delete(p.incoming, peer)
	}
	closed := p.closed
	p.mu.Unlock()
	if closed || r.quiet.Load() {
		return
	}
	if errors.Is(err, errFrame) {
		p.config.Fault("messages.receive", fmt.Errorf("peer %s: %w; connection closed", peer, err))
	}
	p.config.Broken(peer, false)
}

func (p *Plane) read(r *receiver, peer PeerID) error {
	for {
		kind, body, err := readFrame(r.conn)
		if err != nil {
			return err
		}
		switch kind {
		case KindMessage:
			tag, payload, err := splitMessage(body)
			if err != nil {
				return err
			}
			if err := p.config.Deliver(peer, tag, payload); err != nil {
				return err
			}
		default:
			p.config.Control(peer, r.conn.Life(), kind, body)
		}
	}
}
