// What the ledger tells its owner: one type per kind of event, handed to Config.Events in order.

package ledger

// PeerID names a peer: 32 lower-case hexadecimal characters.
type PeerID = string

// Record is a key's newest value. Events come in index order; older values of a key may be skipped.
type Record struct {
	Key     string
	Version uint64 // 1 for the first value of a key, one more for each write
	Index   uint64 // position in the log of the write; records of one write share it
	Value   []byte // not to be changed by the receiver
}

// WriteError says why a write or barrier ended without success; "" is success.
type WriteError string

const (
	OK        WriteError = ""
	Conflict  WriteError = "conflict"   // a version was not the expected one: nothing was written
	NotLeader WriteError = "not_leader" // no leader was reached: nothing was written
	Denied    WriteError = "denied"     // this peer may not write that key
	Timeout   WriteError = "timeout"    // it may still commit
	Lost      WriteError = "lost"       // leadership or the node ended meanwhile: it may still commit
)

// WriteDone ends a Write.
type WriteDone struct {
	Request int64
	Error   WriteError
}

// BarrierDone ends a Barrier: all records committed before it were handed over before this event.
type BarrierDone struct {
	Request int64
	Error   WriteError
}

// Leader tells a change of the committee's leader. Leader is "" when unknown.
type Leader struct {
	Leader PeerID
	Me     bool
	Term   uint64
}

// Committee tells a change of the voters.
type Committee struct {
	Voters []PeerID // sorted
	Ledger string   // the ledger's id, 32 hexadecimal characters
	Epoch  uint64   // the ledger's epoch: one more after each operator's recovery
}

// LedgerLost: no contact with a leader, direct or through a voter, for two election timeouts.
type LedgerLost struct{ AgeMs int64 }

// LedgerFound: contact is back after LedgerLost.
type LedgerFound struct{}

// Overtaken: an operator recovered this ledger elsewhere, and this node's log is of an older epoch whose committee is
// gone. The owner closes the ledger, sets its directory aside (SetAside) and opens another that Follows.
type Overtaken struct {
	Was      uint64 // epoch of the log here
	Ledger   string
	Epoch    uint64
	Recovery string
}

// Fault: a defence fired: hostile bytes, a refused handshake, a recovered panic.
type Fault struct {
	Where string
	Error string
}
