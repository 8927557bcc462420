// Membership's events: what the reader sees of them, and what follows for the other planes.

package p2plib

import "pyfl/gocore/membership"

func info(m membership.Member) PeerInfo {
	labels := m.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	return PeerInfo{Peer: m.ID, Name: m.Name, Address: m.Addr, Labels: labels, Meta: present(m.Meta), Eligible: m.Eligible}
}

// membership takes membership's events with its lock held: it queues what the reader sees now, and leaves what follows
// from it to the goroutine of consequences.
func (n *Node) membership(event any) {
	switch e := event.(type) {
	case membership.Up:
		n.queue.push(PeerUp{info(e.Member)})
	case membership.Update:
		n.queue.push(PeerUpdate{info(e.Member)})
	case membership.Down:
		n.queue.push(PeerDown{Peer: e.Peer, Reason: e.Reason, Confirmed: e.Confirmed})
	case membership.LinkDown:
		n.queue.push(LinkDown{Peer: e.Peer})
	case membership.Joined:
		n.queue.push(Joined{Address: e.Address})
	case membership.JoinFailed:
		failed := JoinFailed{Failures: []JoinFailure{}}
		for _, f := range e.Failures {
			failed.Failures = append(failed.Failures, JoinFailure(f))
		}
		n.queue.push(failed)
	}
	n.mu.Lock()
	n.pending = append(n.pending, event)
	n.mu.Unlock()
	select {
	case n.kick <- struct{}{}:
	default:
	}
}

// consequences of membership events for the other planes, in order.
func (n *Node) consequences() {
	for {
		select {
		case <-n.kick:
		case <-n.ctx.Done():
			return
		}
		n.mu.Lock()
		pending := n.pending
		n.pending = nil
		n.mu.Unlock()
		for _, event := range pending {
			if update, ok := event.(membership.Update); ok && update.From != "" {
				n.transport.CloseAt(update.Member.ID, update.From)
			}
			if down, ok := event.(membership.Down); ok {
				n.down(down)
			}
			if l := n.ledger.Load(); l != nil {
				l.MembershipChanged()
			}
		}
	}
}

func (n *Node) down(e membership.Down) {
	n.transport.CloseVia(e.Peer) // if it merely stands still, another one can pass them on
	if e.Confirmed {
		n.relay.Gone(e.Peer)
		n.bulk.Gone(e.Peer, e.Life)
		n.messages.Forget(e.Peer, e.Life)
	}
	if l := n.ledger.Load(); l != nil {
		l.PeerDown(e.Peer, e.Confirmed, e.Reason == membership.ReasonLeft)
	}
}
