// A lineage: which ledger this is, and after which of its operator's recoveries. Every connection says it first, so that
// two swarms never merge and nobody who missed a recovery can undo it.

package ledger

import (
	"errors"
	"fmt"
)

// lineage of a ledger. Two recoveries that were made of the same epoch differ in Recovery: neither may swallow the other.
type lineage struct {
	Ledger   string
	Epoch    uint64
	Recovery string // "" for the founder's
}

func (f facts) lineage() lineage { return lineage{f.Ledger, f.Epoch, f.Recovery} }

func (a lineage) check() error {
	if len(a.Ledger) > 64 || len(a.Recovery) > 64 {
		return errors.New("ledger: the names of a lineage are too long")
	}
	return nil
}

// clash says why a connection between two lineages must be refused; "" when it need not be.
func (a lineage) clash(b lineage) string {
	switch {
	case a.Ledger == "" || b.Ledger == "" || a == b:
		return ""
	case a.Ledger != b.Ledger:
		return refusedLedger
	case a.Epoch != b.Epoch:
		return refusedEpoch
	}
	return refusedRecovery
}

// overtakenBy: b is a later epoch of the same ledger.
func (a lineage) overtakenBy(b lineage) bool {
	return a.Ledger != "" && a.Ledger == b.Ledger && b.Epoch > a.Epoch
}

// adopt makes a lineage ours: the first one that this peer, having none, hears of; later only a newer epoch, when nothing
// of ours is lost by it.
func (l *Ledger) adopt(other lineage) error {
	l.adopting.Lock()
	defer l.adopting.Unlock()
	f := l.stores.getFacts()
	own := f.lineage()
	switch {
	case other.Ledger == "" || own == other:
		return nil
	case other.check() != nil:
		return other.check()
	case own.Ledger == "":
	case !own.overtakenBy(other):
		return fmt.Errorf("ledger: this peer belongs to ledger %s epoch %d, not %.64s epoch %d", own.Ledger, own.Epoch, other.Ledger, other.Epoch)
	case l.inContact():
		return fmt.Errorf("ledger: epoch %d is a recovery of this ledger, whose committee of epoch %d lives: this peer stays with it", other.Epoch, own.Epoch)
	case len(l.latestServers()) > 0:
		// Its log is of the old epoch: it must not be appended to. The owner sets it aside and opens another.
		if l.overtaken.CompareAndSwap(false, true) {
			l.events.emit(Overtaken{Was: own.Epoch, Ledger: other.Ledger, Epoch: other.Epoch, Recovery: other.Recovery})
		}
		return fmt.Errorf("ledger: this peer's log is of epoch %d, and the ledger was recovered as epoch %d", own.Epoch, other.Epoch)
	default:
		l.view.restart()
	}
	f.Ledger, f.Epoch, f.Recovery = other.Ledger, other.Epoch, other.Recovery
	if err := l.stores.setFacts(f); err != nil {
		return err
	}
	l.standing.mu.Lock()
	if own.Ledger != "" {
		l.standing.known = committee{} // the old epoch's voters
	}
	l.emitCommitteeLocked() // before any record of it
	l.standing.mu.Unlock()
	l.standing.touch()
	return nil
}

// inContact: a leader of this lineage speaks, or may still be on its way.
func (l *Ledger) inContact() bool {
	if age, met := l.age(); met {
		return age <= 2*l.cfg.Heartbeat
	}
	return l.sinceStart() <= 2*l.cfg.Heartbeat && len(l.latestServers()) > 0
}

// meet takes notice of another lineage that a connection named. A newer epoch of ours is followed when that is safe.
func (l *Ledger) meet(peer PeerID, other lineage) {
	own := l.stores.getFacts().lineage()
	if !own.overtakenBy(other) {
		return
	}
	err := l.adopt(other)
	if err != nil && l.metLeader.Load() && l.inContact() {
		st := status{Ledger: other.Ledger, Epoch: other.Epoch, Recovery: other.Recovery}
		l.fault("ledger handshake", &refusal{refusedEpoch, peer, own, st})
	}
}
