// A node: the planes put together, and its life.

package p2plib

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"pyfl/gocore/bulk"
	"pyfl/gocore/goroutines"
	"pyfl/gocore/identity"
	"pyfl/gocore/ledger"
	"pyfl/gocore/membership"
	"pyfl/gocore/messages"
	"pyfl/gocore/relay"
	"pyfl/gocore/transport"
)

// Node is one peer of a swarm. Any goroutine may call; Next, Leave, Close and Cancel block.
type Node struct {
	config    Config
	transport *transport.T
	relay     *relay.R
	members   *membership.M
	messages  *messages.Plane
	bulk      *bulk.Plane
	queue     *queue
	ctx       context.Context
	cancel    context.CancelFunc
	running   *goroutines.Group

	raft, watch *transport.Listener // handed to the ledger
	ledger      atomic.Pointer[ledger.Ledger]
	early       atomic.Int64 // request numbers before there is a ledger, downwards

	mu      sync.Mutex
	pending []any // membership events whose consequences are still to be drawn
	kick    chan struct{}
	ready   chan struct{}        // closed when there is a membership
	told    map[string]time.Time // last fault reported, by where
	faults  atomic.Int64
	once    sync.Once

	attention attention
}

// Open starts a node. Errors wrap ErrConfig or ErrAddressInUse, or are the system's.
func Open(config Config) (*Node, error) {
	swarmKey, err := config.check()
	if err != nil {
		return nil, err
	}
	key, err := identity.LoadKey(config.IdentityFile)
	if err != nil {
		return nil, fmt.Errorf("%w: identity_file: %w", ErrConfig, err)
	}
	own, err := identity.New(swarmKey, key)
	if err != nil {
		return nil, err
	}
	n := &Node{config: config, queue: newQueue(config.Inbox), kick: make(chan struct{}, 1), ready: make(chan struct{}), told: map[string]time.Time{}}
	n.running = goroutines.Told(n.fault)
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.transport, err = transport.New(transport.Config{Listen: config.Listen, Identity: own, Congestion: config.Congestion, Version: config.version,
		Connect: config.connect, Fault: n.fault})
	if err != nil {
		n.cancel()
		return nil, translate(err, "listen "+config.Listen)
	}
	if err := n.start(); err != nil {
		n.Close()
		return nil, translate(err, "open")
	}
	return n, nil
}

func (n *Node) start() (err error) {
	if err = n.listenLedger(); err != nil {
		return err
	}
	// The planes are listened on before membership tells anybody of this node; they call membership only
	// for peers, which there are none before.
	n.relay, err = relay.New(relay.Config{
		Transport: n.transport,
		Resolve:   n.resolve,
		Place:     n.place,
		Members:   n.memberIDs,
		Changed:   n.routeChanged,
		Fault:     n.fault,
	})
	if err != nil {
		return err
	}
	n.messages, err = messages.New(messages.Config{
		Transport: n.transport,
		Resolve:   n.resolve,
		Admit: func(ctx context.Context, peer PeerID, life transport.Life) error {
			if !n.started() {
				return ErrClosed
			}
			return n.admit(ctx, peer, life)
		},
		Deliver: func(from PeerID, tag, payload []byte) error {
			if !n.queue.deliver(Message{Peer: from, Tag: tag, Payload: payload}) {
				return ErrClosed
			}
			return nil
		},
		Control: n.control,
		Broken:  n.messagesBroken,
		Fault:   n.fault,
	})
	if err != nil {
		return err
	}
	n.bulk, err = bulk.New(bulk.Config{
		Transport: n.transport,
		Resolve:   n.resolve,
		Control:   n.messages.Control,
		Ended:     n.ended,
		Broken: func(peer PeerID) {
			if n.started() {
				n.members.Broken(peer)
			}
		},
		Streams:  n.streams,
		Fault:    n.fault,
		Progress: milliseconds(n.config.TransferMs),
	})
	if err != nil {
		return err
	}
	_, err = membership.New(membership.Config{
		Transport:   n.transport,
		Advertise:   n.config.Advertise,
		Name:        n.config.Name,
		Labels:      n.config.Labels,
		Join:        n.config.Join,
		JoinTimeout: milliseconds(n.config.JoinTimeoutMs),
		Probe:       milliseconds(n.config.ProbeMs),
		Quiet:       !n.config.Gossip,
		Events:      n.membership,
		Moved:       func(from string) { n.transport.CloseAt("", from) }, // TCP would wait for answers to the old address
		Fault:       n.fault,
		Ready:       func(m *membership.M) { n.members = m; close(n.ready) },
	})
	if err != nil {
		return err
	}
	n.running.Go("node.consequences", n.consequences)
	n.running.Go("node.attention", func() { n.watchAttention(inattentive) })
	return n.startLedger()
}

// started waits for membership; false when the node closes first.
func (n *Node) started() bool {
	select {
	case <-n.ready:
		return true
	case <-n.ctx.Done():
		return false
	}
}

// faultInterval is how often one place may report; what a stranger can cause must not fill the queue.
const faultInterval = time.Second

func (n *Node) fault(where string, err error) {
	n.faults.Add(1)
	now := time.Now()
	n.mu.Lock()
	quiet := now.Sub(n.told[where]) < faultInterval
	if !quiet {
		n.told[where] = now
	}
	n.mu.Unlock()
	if !quiet {
		n.queue.push(Fault{Where: where, Error: err.Error()})
	}
}

func (n *Node) resolve(peer PeerID) (string, transport.Life, bool) {
	members := n.known()
	if members == nil {
		return "", 0, false
	}
	return members.Resolve(peer)
}

// known is the membership; nil before there is one.
func (n *Node) known() *membership.M {
	select {
	case <-n.ready:
		return n.members
	default:
		return nil
	}
}

// admitTimeout is how long a connection may come before gossip tells who it is from.
const admitTimeout = 10 * time.Second

func (n *Node) admit(ctx context.Context, peer PeerID, life transport.Life) error {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	n.members.Seen(peer, life)
	return n.members.Await(ctx, peer, life)
}

func (n *Node) control(from PeerID, life transport.Life, kind messages.Kind, body []byte) {
	if kind == messages.KindGoodbye {
		n.members.Goodbye(from, life)
		return
	}
	n.bulk.Frame(from, life, kind, body)
}

func (n *Node) messagesBroken(peer PeerID, outgoing bool) {
	n.members.Broken(peer)
	if outgoing {
		n.bulk.Relinked(peer)
	}
}

func (n *Node) ended(e bulk.Ended) {
	t := Transferred{Transfer: e.Transfer, Peer: e.Peer, Tag: []byte(e.Tag), OK: e.Error == "", Error: e.Error, Bytes: e.Bytes}
	if e.Receive {
		n.queue.push(Received{t})
	} else {
		n.queue.push(Sent{t})
	}
}

// streams: one connection fills a short link (2.7 GB/s on loopback); long ones need several.
func (n *Node) streams(peer PeerID) int {
	if n.config.BulkStreams > 0 {
		return n.config.BulkStreams
	}
	switch rtt := n.members.RTT(peer); {
	case rtt < 5*time.Millisecond:
		return 1
	case rtt < 30*time.Millisecond:
		return 2
	}
	return 4
}

// Leave says goodbye to everyone: a leader hands over, a voter is replaced first if it can be. Call Close after it.
// ErrTimeout when not everybody was told.
func (n *Node) Leave(timeout time.Duration) error {
	if n.ctx.Err() != nil {
		return ErrClosed
	}
	ctx, cancel := context.WithTimeout(n.ctx, timeout)
	defer cancel()
	if l := n.ledger.Load(); l != nil {
		// Part of the time is kept for the goodbyes, which spare the others from taking this for a death.
		if err := l.Leave(timeout * 2 / 3); err != nil && !errors.Is(err, ledger.ErrClosed) {
			n.fault("node.leave", err) // the others take over as after a death
		}
	}
	n.messages.Goodbye(ctx, n.memberIDs())
	_ = n.members.Leave(min(timeout, 300*time.Millisecond)) // gossip repeats what the goodbyes said
	if ctx.Err() != nil {
		return fmt.Errorf("leave: %w: not every peer took the goodbye within %v", ErrTimeout, timeout)
	}
	return nil
}

// Close stops everything and returns when the node's goroutines have ended. Readers get what is queued, then ErrClosed.
// Idempotent.
func (n *Node) Close() {
	n.once.Do(func() {
		n.cancel()
		n.queue.stopMessages()
		n.transport.Deafen()
		if l := n.ledger.Load(); l != nil {
			_ = l.Close()
		}
		n.running.Wait()
		if l := n.ledger.Load(); l != nil {
			_ = l.Close() // founded meanwhile
		}
		if n.relay != nil {
			n.relay.Close()
		}
		if n.bulk != nil {
			n.bulk.Close()
		}
		if n.messages != nil {
			n.messages.Close()
		}
		if n.members != nil {
			n.members.Close()
		}
		_ = n.transport.Close()
		n.queue.close()
	})
}

func peerOf(conn net.Conn) PeerID {
	if c, ok := conn.(*transport.Conn); ok {
		return c.Peer()
	}
	return ""
}
