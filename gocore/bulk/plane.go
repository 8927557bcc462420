// The bulk plane: what is posted, how posts are matched, and how a transfer ends.

package bulk

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"pyfl/gocore/goroutines"
	"pyfl/gocore/messages"
	"pyfl/gocore/transport"
)

// Errors of posting and cancelling.
var (
	ErrFull       = errors.New("too many transfers are posted for this peer; wait for some to end")
	ErrNoPeer     = errors.New("no such member now")
	ErrClosed     = errors.New("the bulk plane is closed")
	ErrArgument   = errors.New("not a possible transfer")
	ErrNoTransfer = errors.New("no such transfer: it has ended already")
)

// MaxPosted is how many transfers may be posted in each direction per peer.
const MaxPosted = 4096

// Ended is how a transfer ended. Error is "", "cancelled", "timeout", "peer_lost" or "size".
type Ended struct {
	Transfer int64
	Peer     PeerID
	Tag      string
	Receive  bool
	Error    string
	Bytes    int
}

const (
	reasonCancelled = "cancelled"
	reasonTimeout   = "timeout"
	reasonPeerLost  = "peer_lost"
	reasonSize      = "size"
)

// Config connects the plane to its owner.
type Config struct {
	Transport *transport.T
	Resolve   func(PeerID) (addr string, life transport.Life, ok bool)
	// Control queues a frame on the message plane. Called with the plane's lock held: it must not block or call back.
	Control func(peer PeerID, kind messages.Kind, body []byte) error
	// Ended takes the end of each transfer; called with the plane's lock held, it must not block or call back.
	Ended func(Ended)
	// Broken: a connection with the peer ended and neither side had meant it to.
	Broken func(peer PeerID)
	// Streams is how many connections to open to a peer.
	Streams  func(peer PeerID) int
	Fault    func(where string, err error)
	Progress time.Duration // a transfer under way without progress for this long fails
}

// Counters are totals since the start.
type Counters struct{ Sent, Received, Drained atomic.Int64 }

// Plane is the bulk plane of one node. Any goroutine may call.
type Plane struct {
	Counters Counters

	config   Config
	listener *transport.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	running  *goroutines.Group
	active   chan struct{} // wakes the sweeper when there is something to watch

	mu        sync.Mutex
	closed    bool
	next      int64
	nextPost  uint64
	transfers map[int64]*transfer
	posts     map[uint64]*transfer // posted receives
	peers     map[PeerID]*peer
	inbound   map[*transport.Conn]struct{}
}

// peer is what is posted by and for one peer.
type peer struct {
	id       PeerID
	life     transport.Life
	sends    map[string]*transfer
	receives map[string]*transfer
	remote   map[string]remotePost // receives that the peer has posted and that no send has taken
	streams  []*stream
}

type remotePost struct {
	post, size uint64
	// on is the stream where a send for this post was withdrawn in mid-stream: the next one follows it there, so that
	// the receiver reads the end of the one before the start of the other.
	on *stream
}

// transfer is one posted buffer. Plane.mu guards it.
type transfer struct {
	id       int64
	peer     *peer
	tag      string
	receive  bool
	buffer   []byte
	timeout  time.Duration // 0: none
	progress time.Time     // when it was posted, or bytes last moved
	busy     int           // goroutines that touch the buffer now
	ending   bool          // its end is decided; the event follows when busy is 0
	reason   string
	done     chan struct{}

	attempt *attempt // send: on a stream

	post   uint64 // receive
	conn   *transport.Conn
	try    try
	offset int
}

// New takes the bulk plane of the transport.
func New(config Config) (*Plane, error) {
	listener, err := config.Transport.Listen(transport.Bulk)
	if err != nil {
		return nil, err
	}
	// Post ids start anywhere, so that one of a former life of this peer is not taken for one of this.
	var seed [8]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, err
	}
	p := &Plane{
		config:    config,
		running:   goroutines.Told(config.Fault),
		listener:  listener,
		active:    make(chan struct{}, 1),
		nextPost:  binary.BigEndian.Uint64(seed[:]),
		transfers: map[int64]*transfer{},
		posts:     map[uint64]*transfer{},
		peers:     map[PeerID]*peer{},
		inbound:   map[*transport.Conn]struct{}{},
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.running.Go("bulk.accept", p.acceptLoop)
	p.running.Go("bulk.sweep", p.sweepLoop)
	return p, nil
}

// Send posts buffer for the peer's receive of the same tag and size. The buffer is the plane's until Ended.
func (p *Plane) Send(id PeerID, tag string, buffer []byte, timeout time.Duration) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	peer, err := p.admit(id, tag)
	if err != nil {
		return 0, err
	}
	if err := room(peer.sends, tag); err != nil {
		return 0, err
	}
	t := p.add(&transfer{peer: peer, tag: tag, buffer: buffer, timeout: timeout})
	peer.sends[tag] = t
	p.match(peer, tag)
	return t.id, nil
}

// Receive posts buffer for the peer's send of the same tag and size. The buffer is the plane's until Ended.
func (p *Plane) Receive(id PeerID, tag string, buffer []byte, timeout time.Duration) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	peer, err := p.admit(id, tag)
	if err != nil {
		return 0, err
	}
	if err := room(peer.receives, tag); err != nil {
		return 0, err
	}
	p.nextPost++
	post := p.nextPost
	if err := p.config.Control(id, messages.KindPost, encodePost(post, uint64(len(buffer)), tag)); err != nil {
		return 0, err
	}
	t := p.add(&transfer{peer: peer, tag: tag, receive: true, buffer: buffer, timeout: timeout, post: post})
	peer.receives[tag] = t
	p.posts[post] = t
	return t.id, nil
}

func (p *Plane) admit(id PeerID, tag string) (*peer, error) {
	if p.closed {
		return nil, ErrClosed
	}
	if len(tag) > messages.MaxTag {
		return nil, fmt.Errorf("%w: a tag of %d bytes, at most %d", ErrArgument, len(tag), messages.MaxTag)
	}
	_, life, ok := p.config.Resolve(id)
	if !ok {
		return nil, ErrNoPeer
	}
	return p.peerOf(id, life), nil
}

func (p *Plane) peerOf(id PeerID, life transport.Life) *peer {
	known := p.peers[id]
	if known != nil && known.life != life {
		p.lose(known) // it restarted
		known = nil
	}
	if known == nil {
		known = &peer{id: id, life: life, sends: map[string]*transfer{}, receives: map[string]*transfer{}, remote: map[string]remotePost{}}
		p.peers[id] = known
	}
	return known
}

func room(posted map[string]*transfer, tag string) error {
	if posted[tag] != nil {
		return fmt.Errorf("%w: tag %q is posted for this peer and direction already", ErrArgument, tag)
	}
	if len(posted) >= MaxPosted {
		return ErrFull
	}
	return nil
}

func (p *Plane) add(t *transfer) *transfer {
	p.next++
	t.id, t.progress, t.done = p.next, time.Now(), make(chan struct{})
	p.transfers[t.id] = t
	select {
	case p.active <- struct{}{}:
	default:
	}
	return t
}

// match starts a send whose tag both sides have posted.
func (p *Plane) match(peer *peer, tag string) {
	send, remote := peer.sends[tag], remotePost{}
	if send == nil || send.attempt != nil {
		return
	}
	remote, ok := peer.remote[tag]
	if !ok {
		return
	}
	delete(peer.remote, tag)
	if remote.size != uint64(len(send.buffer)) {
		p.control(peer.id, messages.KindSize, encodePostID(remote.post))
		p.finish(send, reasonSize)
		return
	}
	p.enqueue(send, remote)
}

func (p *Plane) control(peer PeerID, kind messages.Kind, body []byte) {
	err := p.config.Control(peer, kind, body)
	if err != nil && !errors.Is(err, messages.ErrNoPeer) && !errors.Is(err, messages.ErrClosed) {
		p.config.Fault("bulk.control", fmt.Errorf("peer %s: %w", peer, err))
	}
}

// finish decides a transfer's end; "" is success. Its event follows at once, or when nobody touches the buffer any more.
func (p *Plane) finish(t *transfer, reason string) {
	if t.ending {
		return
	}
	t.ending, t.reason = true, reason
	if t.receive {
		delete(t.peer.receives, t.tag)
		delete(p.posts, t.post)
		if t.conn == nil && (reason == reasonCancelled || reason == reasonTimeout) {
			p.control(t.peer.id, messages.KindCancel, encodePostID(t.post))
		}
	} else {
		delete(t.peer.sends, t.tag)
		p.withdraw(t, reason)
	}
	if t.busy == 0 {
		p.complete(t)
		return
	}
	p.interrupt(t)
}

// complete hands the buffer back.
func (p *Plane) complete(t *transfer) {
	delete(p.transfers, t.id)
	ended := Ended{Transfer: t.id, Peer: t.peer.id, Tag: t.tag, Receive: t.receive, Error: t.reason}
	if t.reason == "" {
		ended.Bytes = len(t.buffer)
	}
	t.buffer = nil
	p.config.Ended(ended)
	close(t.done)
}

// released is called by a goroutine that has stopped touching the buffer.
func (p *Plane) released(t *transfer) {
	t.busy--
	if t.busy == 0 && t.ending {
		p.complete(t)
	}
}

// Cancel ends a transfer; on return nobody touches its buffer any more.
func (p *Plane) Cancel(id int64) error {
	p.mu.Lock()
	t := p.transfers[id]
	if t == nil {
		p.mu.Unlock()
		return ErrNoTransfer
	}
	late := t.ending
	p.finish(t, reasonCancelled)
	p.mu.Unlock()
	<-t.done
	if late {
		return ErrNoTransfer
	}
	return nil
}

// Posted counts the transfers that have not ended.
func (p *Plane) Posted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.transfers)
}

// Gone ends everything with a life of a peer that left or is confirmed dead.
func (p *Plane) Gone(id PeerID, life transport.Life) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if peer := p.peers[id]; peer != nil && peer.life == life {
		p.lose(peer)
	}
}

func (p *Plane) lose(peer *peer) {
	delete(p.peers, peer.id)
	for _, t := range peer.sends {
		p.finish(t, reasonPeerLost)
	}
	for _, t := range peer.receives {
		p.finish(t, reasonPeerLost)
	}
	for _, s := range peer.streams {
		s.stop()
	}
	for conn := range p.inbound {
		if conn.Peer() == peer.id && conn.Life() == peer.life {
			_ = conn.Close()
		}
	}
}

// Relinked: frames written to the peer's message connection may be lost, so what is posted there is posted again.
func (p *Plane) Relinked(id PeerID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	peer := p.peers[id]
	if peer == nil {
		return
	}
	for _, t := range peer.receives {
		if t.conn == nil {
			p.control(id, messages.KindPost, encodePost(t.post, uint64(len(t.buffer)), t.tag))
		}
	}
}

// Frame takes a control frame from the message plane.
func (p *Plane) Frame(from PeerID, life transport.Life, kind messages.Kind, body []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, present, ok := p.config.Resolve(from)
	if p.closed || !ok || present != life {
		return // what is left of a former life
	}
	peer := p.peerOf(from, life)
	var err error
	switch kind {
	case messages.KindPost:
		err = p.posted(peer, body)
	case messages.KindCancel:
		err = p.withdrawn(peer, body)
	case messages.KindSize:
		err = p.mismatched(peer, body)
	default:
		err = fmt.Errorf("%w: control frame %d", errWire, kind)
	}
	if err != nil {
		p.config.Fault("bulk.frame", fmt.Errorf("peer %s: %w", from, err))
	}
}

func (p *Plane) posted(peer *peer, body []byte) error {
	post, size, tag, err := parsePost(body)
	if err != nil {
		return err
	}
	if send := peer.sends[tag]; send != nil && send.attempt != nil && send.attempt.try.post == post {
		return nil // repeated after a broken link, and being served
	}
	if _, known := peer.remote[tag]; !known && len(peer.remote) >= 2*MaxPosted {
		return fmt.Errorf("%w: more than %d posts are open", errWire, 2*MaxPosted)
	}
	peer.remote[tag] = remotePost{post: post, size: size}
	p.match(peer, tag)
	return nil
}

func (p *Plane) withdrawn(peer *peer, body []byte) error {
	post, err := parsePostID(body)
	if err != nil {
		return err
	}
	for tag, remote := range peer.remote {
		if remote.post == post {
			delete(peer.remote, tag)
		}
	}
	return nil // a stream that has started learns it from the verdict
}

func (p *Plane) mismatched(peer *peer, body []byte) error {
	post, err := parsePostID(body)
	if err != nil {
		return err
	}
	if t := p.posts[post]; t != nil && t.peer == peer {
		p.finish(t, reasonSize)
	}
	return nil
}

// Close ends every transfer as cancelled and returns when the plane's goroutines have ended.
func (p *Plane) Close() {
	p.mu.Lock()
	p.closed = true
	for _, t := range p.transfers {
		p.finish(t, reasonCancelled)
	}
	for _, peer := range p.peers {
		for _, s := range peer.streams {
			s.stop()
		}
	}
	for conn := range p.inbound {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.cancel()
	_ = p.listener.Close()
	p.running.Wait()
}
