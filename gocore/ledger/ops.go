// The one command of the ledger: compare and set one or more records, all or none, with a nonce.

package ledger

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/vmihailenco/msgpack/v5"
)

// Op is one compare-and-set: Version is the expected version, 0 for an absent record.
type Op struct {
	Key     string `msgpack:"key"`
	Version uint64 `msgpack:"version"`
	Value   []byte `msgpack:"value"`
}

// Bounds of a command.
const (
	MaxKey     = 200     // bytes of a key
	MaxValue   = 1 << 20 // bytes of a value, P2P_MAX_RECORD
	MaxOps     = 64      // records of one command
	MaxTotal   = 2 << 20 // bytes of all keys and values of one command
	maxCommand = MaxTotal + MaxOps*64 + 256
)

// controlPrefix begins the keys that every member may write.
const controlPrefix = "control"

// nonce names a write, so that a repeat of it is known.
type nonce [16]byte

func newNonce() (n nonce) {
	rand.Read(n[:]) // never fails since Go 1.24
	return n
}

// command is what the Raft log carries.
type command struct {
	Nonce []byte `msgpack:"n"`
	Ops   []Op   `msgpack:"o"`
}

// checkOps says what is wrong with a write: nothing leaves this node, and nothing is applied, that it refuses.
func checkOps(ops []Op) error {
	if len(ops) == 0 || len(ops) > MaxOps {
		return fmt.Errorf("ledger: a write has %d records, expected 1 to %d", len(ops), MaxOps)
	}
	total := 0
	seen := make(map[string]bool, len(ops))
	for _, op := range ops {
		if op.Key == "" || len(op.Key) > MaxKey {
			return fmt.Errorf("ledger: a key has %d bytes, expected 1 to %d", len(op.Key), MaxKey)
		}
		if len(op.Value) > MaxValue {
			return fmt.Errorf("ledger: the value of %q has %d bytes, expected at most %d", op.Key, len(op.Value), MaxValue)
		}
		if seen[op.Key] {
			return fmt.Errorf("ledger: %q is twice in one write, expected once", op.Key)
		}
		seen[op.Key] = true
		total += len(op.Key) + len(op.Value)
	}
	if total > MaxTotal {
		return fmt.Errorf("ledger: a write has %d bytes, expected at most %d", total, MaxTotal)
	}
	return nil
}

// onlyControl: every member may write these.
func onlyControl(ops []Op) bool {
	for _, op := range ops {
		if !strings.HasPrefix(op.Key, controlPrefix) {
			return false
		}
	}
	return true
}

func encodeCommand(n nonce, ops []Op) ([]byte, error) {
	if err := checkOps(ops); err != nil {
		return nil, err
	}
	return msgpack.Marshal(&command{Nonce: n[:], Ops: ops})
}

func decodeCommand(data []byte) (nonce, []Op, error) {
	var n nonce
	if len(data) > maxCommand {
		return n, nil, fmt.Errorf("ledger: a command has %d bytes, expected at most %d", len(data), maxCommand)
	}
	var c command
	if err := msgpack.Unmarshal(data, &c); err != nil {
		return n, nil, fmt.Errorf("ledger: not a command: %w", err)
	}
	if len(c.Nonce) != len(n) {
		return n, nil, errors.New("ledger: a command's nonce is not 16 bytes")
	}
	copy(n[:], c.Nonce)
	return n, c.Ops, checkOps(c.Ops)
}
