// Package ledger is a small replicated record store: a Raft log over a committee of 1, 3 or 5 voters that the
// peers choose and replace themselves; every other peer watches a voter.
//
// It knows nothing of what the records mean. docs: protocol.md, "Ledger" and "Committee and identity".
package ledger

import (
	"errors"
	"time"
)

// ErrClosed: the ledger was closed.
var ErrClosed = errors.New("ledger: closed")

// ErrNotLeader: the call is for the leader and this node is not it.
var ErrNotLeader = errors.New("ledger: this node is not the leader; only the leader can do this")

// Ledger is one peer's part of the replicated record store. All methods are safe for concurrent use.
type Ledger struct {
	cfg Config
}

// New opens the ledger (resuming what DataDir has), starts its goroutines and returns. It does not wait for a leader.
func New(cfg Config) (*Ledger, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Ledger{cfg: cfg}, nil
}

// Write compares and sets records, all or none; it returns at once and ends in a WriteDone event with the returned
// request number. On the leader any key may be written; elsewhere only keys that start with "control".
func (l *Ledger) Write(ops []Op) (request int64, err error) { return 0, ErrClosed }

// Barrier (leader only) ends in a BarrierDone event, after the records of everything committed before the call.
func (l *Ledger) Barrier() (request int64, err error) { return 0, ErrClosed }

// Read returns a record as this node knows it.
func (l *Ledger) Read(key string) (Record, bool) { return Record{}, false }

// Yield (leader only) hands leadership to another voter; it returns when that happened or failed.
func (l *Ledger) Yield() error { return ErrNotLeader }

// Leave hands over leadership and gets this node replaced or removed as a voter, for at most timeout.
// An error says that it is still a voter; closing then counts as a death.
func (l *Ledger) Leave(timeout time.Duration) error { return ErrClosed }

// MembershipChanged: call it when Live would answer differently: members, labels, eligibility.
func (l *Ledger) MembershipChanged() {}

// PeerDown: a member went. confirmed: it refused a new dial; left: it said goodbye.
func (l *Ledger) PeerDown(peer PeerID, confirmed, left bool) {}

// Close stops everything; it returns when all of the ledger's goroutines have ended. Idempotent.
func (l *Ledger) Close() error { return nil }
