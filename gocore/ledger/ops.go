// The one command of the ledger: compare and set one or more records, all or none, with a nonce.

package ledger

// Op is one compare-and-set: Version is the expected version, 0 for an absent record.
type Op struct {
	Key     string `msgpack:"k"`
	Version uint64 `msgpack:"v"`
	Value   []byte `msgpack:"d"`
}

// Bounds of a command; the C header has MaxValue too.
const (
	MaxKey   = 200
	MaxValue = 1 << 20
	MaxOps   = 64
	maxTotal = 2 << 20 // bytes of all keys and values of one command
)
