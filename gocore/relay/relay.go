// The relay of one node: its configuration and its life.

package relay

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"pyfl/gocore/goroutines"
	"pyfl/gocore/transport"
)

// Config connects the relay to its owner. Functions are called from many goroutines and must not block.
type Config struct {
	Transport *transport.T
	// Resolve gives a member's address and present life; false when it is not one (any more).
	Resolve func(PeerID) (addr string, life transport.Life, ok bool)
	// Place is the last known address of a peer, also of one that is gone: it is looked at before that is said.
	Place func(PeerID) (addr string, ok bool)
	// Members are the peers that are up, without this one.
	Members func() []PeerID
	// Changed: dials to the peer go by via from now on; "" straight (again).
	Changed func(peer, via PeerID)
	Fault   func(where string, err error)
	Limits  Limits // zero values take the defaults
}

// Limits bound what others can make this node carry. A spliced connection has two buffers of 32 KiB.
type Limits struct {
	PerPeer int           // connections that one member may cause here: 64
	All     int           // ... and all of them together: 256
	SetUp   time.Duration // from a connection to its splice: 2 s
	Stall   time.Duration // one write: 60 s
	Idle    time.Duration // without a byte either way: 10 min
}

func (l Limits) withDefaults() Limits {
	if l.PerPeer == 0 {
		l.PerPeer = 64
	}
	if l.All == 0 {
		l.All = 256
	}
	if l.SetUp == 0 {
		l.SetUp = 2 * time.Second
	}
	if l.Stall == 0 {
		l.Stall = time.Minute
	}
	if l.Idle == 0 {
		l.Idle = 10 * time.Minute
	}
	return l
}

// R is one node's relay: it passes others' connections on, and finds ways around for its own. Any goroutine may call.
type R struct {
	Bytes atomic.Int64 // passed on for others

	config   Config
	listener *transport.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	running  *goroutines.Group

	mu      sync.Mutex
	closed  bool
	links   map[PeerID]*link
	shares  map[PeerID]int // connections caused here, by member
	carried map[*splice]struct{}
	served  int // connections of the relay plane open now
}

var _ transport.Detour = (*R)(nil)

// New takes the relay plane of the transport and becomes its detour.
func New(config Config) (*R, error) {
	config.Limits = config.Limits.withDefaults()
	listener, err := config.Transport.Listen(transport.Relay)
	if err != nil {
		return nil, err
	}
	r := &R{
		config:   config,
		listener: listener,
		running:  goroutines.Told(config.Fault),
		links:    map[PeerID]*link{},
		shares:   map[PeerID]int{},
		carried:  map[*splice]struct{}{},
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.running.Go("relay.accept", r.acceptLoop)
	r.running.Go("relay.heal", r.healLoop)
	config.Transport.Use(r)
	return r, nil
}

// Carried counts the connections passed on now, and Bent the peers that this node reaches around.
func (r *R) Carried() (carried, bent int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.links {
		if l.via != "" {
			bent++
		}
	}
	return len(r.carried), bent
}

// Gone: the peer's process has ended, so nothing of what is known of the way to it holds for the next.
func (r *R) Gone(peer PeerID) {
	r.mu.Lock()
	if l := r.links[peer]; l != nil {
		l.via, l.pause = "", 0
	}
	r.mu.Unlock()
	r.endIf(func(s *splice) bool { return s.near.Peer() == peer || s.far.Peer() == peer })
}

func (r *R) endIf(condition func(*splice) bool) {
	r.mu.Lock()
	var ends []*splice
	for s := range r.carried {
		if condition(s) {
			ends = append(ends, s)
		}
	}
	r.mu.Unlock()
	for _, s := range ends {
		s.end()
	}
}

// Close ends every splice and returns when the relay's goroutines have ended.
func (r *R) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	_ = r.listener.Close()
	r.endIf(func(*splice) bool { return true })
	r.running.Wait()
}
