// The calls of a node: peers, messages, transfers, events, records, numbers.

package p2plib

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"pyfl/gocore/ledger"
	"pyfl/gocore/membership"
)

// Self is this node's id and the address that the others are told.
func (n *Node) Self() (PeerID, string) { return n.transport.Self(), n.members.Self().Addr }

// Peers are the live members without this node, sorted by id.
func (n *Node) Peers() []PeerInfo {
	peers := []PeerInfo{}
	for _, m := range n.members.Members() {
		peer := info(m)
		peer.Via = n.relay.Via(m.ID)
		peers = append(peers, peer)
	}
	return peers
}

// Announce replaces what the others see of this node.
func (n *Node) Announce(meta []byte, eligible bool) error {
	if err := n.members.Announce(meta, eligible); err != nil {
		return translate(err, "announce")
	}
	if l := n.ledger.Load(); l != nil {
		l.MembershipChanged()
	}
	return nil
}

// Message sends a small message: eager, in order per peer, at most once.
func (n *Node) Message(peer PeerID, tag, payload []byte) error {
	return translate(n.messages.Send(peer, tag, payload), "message to "+peer)
}

// Send posts buffer for peer's receive of the same tag and size; the end is a Sent event. The buffer is the node's
// until then, or until Cancel returned. timeout 0: none.
func (n *Node) Send(peer PeerID, tag, buffer []byte, timeout time.Duration) (transfer int64, err error) {
	transfer, err = n.bulk.Send(peer, string(tag), buffer, timeout)
	return transfer, translate(err, "send to "+peer)
}

// Receive posts buffer for peer's send of the same tag and size; the end is a Received event. Otherwise as Send.
func (n *Node) Receive(peer PeerID, tag, buffer []byte, timeout time.Duration) (transfer int64, err error) {
	transfer, err = n.bulk.Receive(peer, string(tag), buffer, timeout)
	return transfer, translate(err, "receive from "+peer)
}

// Cancel ends a transfer. When it returns nobody touches its buffer any more. ErrNoTransfer if it had ended.
func (n *Node) Cancel(transfer int64) error {
	return translate(n.bulk.Cancel(transfer), fmt.Sprintf("cancel transfer %d", transfer))
}

// Next waits for an event; nil after timeout. ErrClosed once the node is closed and its events are drained.
func (n *Node) Next(timeout time.Duration) (Event, error) {
	defer n.attention.pay()()
	s, err := n.queue.take(timeout)
	if s == nil {
		return nil, err
	}
	return s.event, nil
}

// NextEncoded is Next as MessagePack of at most limit bytes; a larger event stays and gives *SmallError.
func (n *Node) NextEncoded(limit int, timeout time.Duration) ([]byte, error) {
	defer n.attention.pay()()
	s, err := n.queue.take(timeout)
	if s == nil {
		return nil, err
	}
	if s.encoded == nil {
		if s.encoded, err = Encode(s.event); err != nil {
			return nil, err
		}
	}
	if len(s.encoded) > limit {
		n.queue.putBack(s)
		return nil, &SmallError{len(s.encoded)}
	}
	return s.encoded, nil
}

// Wake puts a Wake event into this node's own queue.
func (n *Node) Wake(payload []byte) error {
	if n.ctx.Err() != nil {
		return ErrClosed
	}
	if len(payload) > 1<<20 {
		return fmt.Errorf("wake: %w: %d bytes, at most 1048576", ErrArgument, len(payload))
	}
	if !n.queue.push(Wake{Payload: present(payload)}) {
		return fmt.Errorf("wake: %w: %d wakes wait to be read", ErrFull, maxWakes)
	}
	return nil
}

// Op is one compare-and-set: Version is the expected version, 0 for an absent record.
type Op = ledger.Op

// Write compares and sets records, all or none; it ends in a WriteDone event.
func (n *Node) Write(ops []Op) (request int64, err error) {
	if n.ctx.Err() != nil {
		return 0, ErrClosed
	}
	if l := n.ledger.Load(); l != nil {
		request, err = l.Write(ops)
		if err != nil && !errors.Is(err, ledger.ErrFull) && !errors.Is(err, ledger.ErrClosed) {
			err = fmt.Errorf("%w: %w", ErrArgument, err) // the ops themselves; all else is told by WriteDone
		}
		return request, translate(err, "write")
	}
	request = n.early.Add(-1)
	n.queue.push(WriteDone{Request: request, Error: string(ledger.NotLeader)})
	return request, nil
}

// Barrier (leader only) ends in a BarrierDone event, after the records of all that was committed before.
func (n *Node) Barrier() (request int64, err error) {
	if n.ctx.Err() != nil {
		return 0, ErrClosed
	}
	if l := n.ledger.Load(); l != nil {
		request, err = l.Barrier()
		return request, translate(err, "barrier")
	}
	request = n.early.Add(-1)
	n.queue.push(BarrierDone{Request: request, Error: string(ledger.NotLeader)})
	return request, nil
}

// Read gives a record as this node knows it.
func (n *Node) Read(key string) (Record, bool) {
	l := n.ledger.Load()
	if l == nil {
		return Record{}, false
	}
	r, ok := l.Read(key)
	r.Value = present(r.Value)
	return Record(r), ok
}

// Yield (leader only) hands leadership to another voter.
func (n *Node) Yield() error {
	l := n.ledger.Load()
	if l == nil {
		return fmt.Errorf("yield: %w: there is no ledger yet", ErrNotLeader)
	}
	return translate(l.Yield(), "yield")
}

// Stats are counters and gauges by name.
func (n *Node) Stats() map[string]int64 {
	carried, bent := n.relay.Carried()
	return map[string]int64{
		"bytes_sent":         n.bulk.Counters.Sent.Load(),
		"bytes_received":     n.bulk.Counters.Received.Load(),
		"bytes_drained":      n.bulk.Counters.Drained.Load(),
		"bytes_relayed":      n.relay.Bytes.Load(),
		"links_carried":      int64(carried),
		"links_relayed":      int64(bent),
		"posted":             int64(n.bulk.Posted()),
		"connections":        int64(n.transport.Open()),
		"handshakes_refused": n.transport.Refusals(),
		"gossip_dropped":     n.members.Dropped(),
		"events_queued":      int64(n.queue.length()),
		"faults":             n.faults.Load(),
		"peers":              int64(len(n.members.Members())),
		"goroutines":         int64(runtime.NumGoroutine()),
	}
}

func ledgerMember(m membership.Member) ledger.Member {
	return ledger.Member{ID: m.ID, Labels: m.Labels, Eligible: m.Eligible}
}
