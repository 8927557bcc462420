// The plane: who may send what, and the life of its goroutines.

package messages

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"pyfl/gocore/goroutines"
	"pyfl/gocore/transport"
)

// Errors of sending.
var (
	ErrFull     = errors.New("too many messages wait for this peer; wait for it to take some")
	ErrNoPeer   = errors.New("no such member now")
	ErrClosed   = errors.New("the message plane is closed")
	ErrArgument = errors.New("a size is out of bounds")
)

// Queue limits per peer. Control frames are bounded by the bulk plane's own limit on posts (4096 each way, each with
// at most a cancel); the number here only ends a defect's growth.
const (
	MaxQueued   = 1024
	maxControls = 4 * 4096
)

// Config connects the plane to its owner. Callbacks come from the plane's goroutines.
type Config struct {
	Transport *transport.T
	// Resolve gives a member's address and present life; false when it is not one (any more).
	Resolve func(PeerID) (addr string, life transport.Life, ok bool)
	// Admit blocks until this life of the peer is known as a member, so that its first message follows its peer_up.
	Admit func(ctx context.Context, peer PeerID, life transport.Life) error
	// Deliver takes a message; it blocks while the inbox is full, which holds back the connection, and returns an error
	// once the node closes.
	Deliver func(from PeerID, tag, payload []byte) error
	// Control takes every other frame. It must not block.
	Control func(from PeerID, life transport.Life, kind Kind, body []byte)
	// Broken: a connection with the peer ended and neither side had said so. outgoing: this side had dialed it, so
	// frames written to it may be lost.
	Broken func(peer PeerID, outgoing bool)
	Fault  func(where string, err error)
	// WriteTimeout bounds each write; a peer whose inbox is full holds writes up for this long at most.
	WriteTimeout time.Duration
}

// Plane is the message plane of one node.
type Plane struct {
	config   Config
	listener *transport.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	running  *goroutines.Group

	mu       sync.Mutex
	closed   bool
	outgoing map[PeerID]*sender
	incoming map[PeerID]*receiver
}

// New takes the message plane of the transport.
func New(config Config) (*Plane, error) {
	if config.WriteTimeout == 0 {
		config.WriteTimeout = 30 * time.Second
	}
	listener, err := config.Transport.Listen(transport.Message)
	if err != nil {
		return nil, err
	}
	p := &Plane{config: config, running: goroutines.Told(config.Fault), listener: listener, outgoing: map[PeerID]*sender{}, incoming: map[PeerID]*receiver{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.running.Go("messages.accept", p.acceptLoop)
	return p, nil
}

// Send queues a message. Errors: ErrArgument, ErrNoPeer, ErrFull, ErrClosed.
func (p *Plane) Send(peer PeerID, tag, payload []byte) error {
	if len(tag) > MaxTag || len(payload) > MaxPayload {
		return fmt.Errorf("%w: tag %d bytes (at most %d), payload %d bytes (at most %d)", ErrArgument,
			len(tag), MaxTag, len(payload), MaxPayload)
	}
	frame := encodeFrame(KindMessage, []byte{byte(len(tag))}, tag, payload)
	return p.queue(peer, item{frame: frame})
}

// Control queues a control frame behind what is queued already.
func (p *Plane) Control(peer PeerID, kind Kind, body []byte) error {
	return p.queue(peer, item{frame: encodeFrame(kind, body), control: true})
}

// Goodbye tells peers that this node leaves, and returns when each was told, or ctx ended.
func (p *Plane) Goodbye(ctx context.Context, peers []PeerID) {
	var waits []chan struct{}
	for _, peer := range peers {
		written := make(chan struct{})
		if p.queue(peer, item{frame: encodeFrame(KindGoodbye), control: true, written: written}) == nil {
			waits = append(waits, written)
		}
	}
	for _, written := range waits {
		select {
		case <-written:
		case <-ctx.Done():
			return
		}
	}
}

func (p *Plane) queue(peer PeerID, it item) error {
	_, life, ok := p.config.Resolve(peer)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	if !ok {
		return ErrNoPeer
	}
	s := p.outgoing[peer]
	if s != nil && s.life != life {
		s.stop() // what still waits there was for the former life
		s = nil
	}
	if s == nil {
		s = newSender(p, peer, life)
		p.outgoing[peer] = s
		p.running.Go("messages.send", s.run)
	}
	return s.push(it)
}

// Renew makes the connection to a peer anew, once what is queued for it was written: there is a better way.
func (p *Plane) Renew(peer PeerID) {
	p.mu.Lock()
	s := p.outgoing[peer]
	p.mu.Unlock()
	if s == nil {
		return
	}
	s.renew.Store(true)
	s.signal()
}

// Waiting counts the frames that have not been handed to the connection of a peer.
func (p *Plane) Waiting(peer PeerID) int {
	p.mu.Lock()
	s := p.outgoing[peer]
	p.mu.Unlock()
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.items)
}

// Forget drops a life of a peer that is over: what is queued for it and its connections. Nothing is reported as broken.
func (p *Plane) Forget(peer PeerID, life transport.Life) {
	p.mu.Lock()
	s, r := p.outgoing[peer], p.incoming[peer]
	if s != nil && s.life == life {
		delete(p.outgoing, peer)
	} else {
		s = nil // of the next life
	}
	if r != nil && r.conn.Life() == life {
		delete(p.incoming, peer)
	} else {
		r = nil
	}
	p.mu.Unlock()
	if s != nil {
		s.stop()
	}
	if r != nil {
		r.stop()
	}
}

// Close ends the plane and returns when its goroutines have ended. Deliver must have been unblocked before.
func (p *Plane) Close() {
	p.mu.Lock()
	p.closed = true
	var senders []*sender
	for _, s := range p.outgoing {
		senders = append(senders, s)
	}
	var receivers []*receiver
	for _, r := range p.incoming {
		receivers = append(receivers, r)
	}
	p.mu.Unlock()
	p.cancel()
	_ = p.listener.Close()
	for _, s := range senders {
		s.stop()
	}
	for _, r := range receivers {
		r.stop()
	}
	p.running.Wait()
}
