// The ledger's place in a node: when it starts, who may found it, and its events.

package p2plib

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"pyfl/gocore/ledger"
	"pyfl/gocore/transport"
)

// startLedger opens the ledger now, or once enough peers are here to decide who founds it.
func (n *Node) startLedger() error {
	if n.config.Found && n.config.Expect > 1 && !n.hasLedger() {
		n.running.Go("node.found", n.foundWhenComplete)
		return nil
	}
	return n.openLedger(n.config.Found, ledger.Overtaken{})
}

// listenLedger takes the ledger's planes, which a ledger that closes gives back.
func (n *Node) listenLedger() (err error) {
	if n.raft, err = n.transport.Listen(transport.Ledger); err != nil {
		return err
	}
	n.watch, err = n.transport.Listen(transport.Watch)
	return err
}

func (n *Node) hasLedger() bool {
	if n.config.DataDir == "" {
		return false
	}
	entries, err := os.ReadDir(filepath.Join(n.config.DataDir, "ledger"))
	return err == nil && len(entries) > 0
}

const expectPoll = 100 * time.Millisecond

// foundWhenComplete waits for the expected peers; the lowest id founds, unless one of them knows a ledger already: a
// peer that lost its disk must not found a second one.
func (n *Node) foundWhenComplete() {
	tick := time.NewTicker(expectPoll)
	defer tick.Stop()
	for {
		lowest, founded := true, false
		members := n.members.Members()
		for _, m := range members {
			lowest = lowest && n.transport.Self() < m.ID
			founded = founded || m.Founded
		}
		if founded || len(members)+1 >= n.config.Expect {
			if err := n.openLedger(lowest && !founded, ledger.Overtaken{}); err != nil {
				n.fault("node.found", err)
			}
			return
		}
		select {
		case <-tick.C:
		case <-n.ctx.Done():
			return
		}
	}
}

func (n *Node) openLedger(found bool, follow ledger.Overtaken) error {
	l, err := ledger.New(ledger.Config{
		Self:          n.transport.Self(),
		DataDir:       n.config.DataDir,
		Dial:          n.dialLedger,
		RaftListener:  n.raft,
		WatchListener: n.watch,
		PeerOf:        peerOf,
		Live:          n.live,
		Found:         found,
		Follow:        follow,
		Voters:        n.config.Voters,
		Fsync:         n.config.Fsync,
		Heartbeat:     milliseconds(n.config.HeartbeatMs),
		Events:        n.ledgerEvent,
	})
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	n.ledger.Store(l)
	l.MembershipChanged()
	return nil
}

func (n *Node) dialLedger(ctx context.Context, peer ledger.PeerID, plane ledger.Plane) (net.Conn, error) {
	addr, _, ok := n.resolve(peer)
	if !ok {
		return nil, fmt.Errorf("ledger: %w: %s is not a member now", ErrNoPeer, peer)
	}
	on := transport.Ledger
	if plane == ledger.PlaneWatch {
		on = transport.Watch
	}
	conn, err := n.transport.Dial(ctx, addr, on, peer)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

func (n *Node) live() []ledger.Member {
	members := []ledger.Member{ledgerMember(n.members.Self())}
	for _, m := range n.members.Members() {
		members = append(members, ledgerMember(m))
	}
	return members
}

func (n *Node) ledgerEvent(event any) {
	switch e := event.(type) {
	case ledger.Record:
		e.Value = present(e.Value)
		n.queue.push(Record(e))
	case ledger.WriteDone:
		n.queue.push(WriteDone{Request: e.Request, OK: e.Error == ledger.OK, Error: string(e.Error)})
	case ledger.BarrierDone:
		n.queue.push(BarrierDone{Request: e.Request, OK: e.Error == ledger.OK, Error: string(e.Error)})
	case ledger.Leader:
		n.queue.push(Leader{Leader: e.Leader, Me: e.Me, Term: e.Term})
	case ledger.Committee:
		voters := e.Voters
		if voters == nil {
			voters = []PeerID{}
		}
		n.queue.push(Committee{Voters: voters, Ledger: e.Ledger, Epoch: e.Epoch})
		if e.Ledger != "" {
			n.belong(e.Ledger)
			n.announceLedger()
		}
	case ledger.LedgerLost:
		n.queue.push(LedgerLost{AgeMs: e.AgeMs})
	case ledger.LedgerFound:
		n.queue.push(LedgerFound{})
	case ledger.Overtaken:
		n.running.Go("node.follow", func() {
			if err := n.followRecovery(e); err != nil {
				n.fault("node.follow", err)
			}
		})
	case ledger.Fault:
		n.fault(e.Where, fmt.Errorf("%s", e.Error))
	default:
		n.fault("node.ledger", fmt.Errorf("an event of unknown type %T", event))
	}
}

// followRecovery: the ledger was recovered elsewhere in a newer epoch, and the committee of the log here is gone. The old
// log is set aside, and this node joins with a new one, as somebody without a vote.
func (n *Node) followRecovery(e ledger.Overtaken) error {
	if old := n.ledger.Swap(nil); old != nil { // calls meanwhile are answered as before there was one
		if err := old.Close(); err != nil {
			return fmt.Errorf("the ledger of epoch %d could not be closed: %w", e.Was, err)
		}
	}
	n.queue.push(LedgerFound{}) // the loss of the old one's leader is over; the new one tells its own
	aside := "memory, with it"
	if n.config.DataDir != "" {
		var err error
		if aside, err = ledger.SetAside(n.config.DataDir, e.Was); err != nil {
			return err
		}
	}
	if err := n.listenLedger(); err != nil {
		return err
	}
	n.fault("ledger recovered", fmt.Errorf("an operator recovered the ledger in epoch %d and this peer's was of epoch %d: it is set aside as %s, "+
		"and this peer rejoins without a vote of its own", e.Epoch, e.Was, aside))
	return n.openLedger(false, e)
}

// belong has every plane say which ledger this node has.
func (n *Node) belong(to string) {
	id, err := transport.ParseLedgerID(to)
	if err != nil {
		n.fault("node.ledger", err)
		return
	}
	n.transport.Belong(id)
}

// announceLedger runs apart from the ledger's events, which must not block.
func (n *Node) announceLedger() {
	if n.members.Self().Founded || n.ctx.Err() != nil {
		return
	}
	n.running.Go("node.announce", func() {
		if err := n.members.Founded(); err != nil {
			n.fault("node.announce", err)
		}
	})
}
