// The replicated state: records, remembered nonces, the committed configuration. Pure and deterministic: every
// voter that applied the same log holds the same bytes.

package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sort"
)

// rememberedNonces bounds how long a repeat is known: a write is repeated within seconds, and a swarm writes a few
// records a second at most.
const rememberedNonces = 4096

// maxState bounds the keys and values of all records together; a write beyond it is refused as denied.
const maxState = 256 << 20

type state struct {
	records map[string]Record
	size    int     // bytes of keys and values
	nonces  []nonce // a ring, oldest at next once full
	next    int
	known   map[nonce]bool
	members committee
}

func newState() *state {
	return &state{records: map[string]Record{}, known: map[nonce]bool{}}
}

// apply runs one command at a log index; the records it wrote are returned.
func (s *state) apply(index uint64, data []byte) (WriteError, []Record) {
	n, ops, err := decodeCommand(data)
	if err != nil {
		return Denied, nil
	}
	if s.known[n] {
		return OK, nil
	}
	size := s.size
	for _, op := range ops {
		old, exists := s.records[op.Key]
		if old.Version != op.Version {
			return Conflict, nil
		}
		size += len(op.Value) - len(old.Value)
		if !exists {
			size += len(op.Key)
		}
	}
	if size > maxState {
		return Denied, nil
	}
	written := make([]Record, len(ops))
	for i, op := range ops {
		written[i] = Record{Key: op.Key, Version: op.Version + 1, Index: index, Value: op.Value}
		s.records[op.Key] = written[i]
	}
	s.size = size
	s.remember(n)
	return OK, written
}

func (s *state) remember(n nonce) {
	if len(s.nonces) < rememberedNonces {
		s.nonces = append(s.nonces, n)
	} else {
		delete(s.known, s.nonces[s.next])
		s.nonces[s.next] = n
		s.next = (s.next + 1) % rememberedNonces
	}
	s.known[n] = true
}

// sorted returns the records in index order, those of one write by key.
func (s *state) sorted() []Record {
	all := make([]Record, 0, len(s.records))
	for _, r := range s.records {
		all = append(all, r)
	}
	sort.Slice(all, func(i, j int) bool {
		if all[i].Index != all[j].Index {
			return all[i].Index < all[j].Index
		}
		return all[i].Key < all[j].Key
	})
	return all
}

// snapshot is the state at one moment; values are shared with it, since they are never changed.
type snapshot struct {
	records []Record
	nonces  []byte // oldest first
	members committee
}

func (s *state) freeze() *snapshot {
	var ring bytes.Buffer
	for i := range s.nonces {
		n := s.nonces[(s.next+i)%len(s.nonces)]
		ring.Write(n[:])
	}
	return &snapshot{records: s.sorted(), nonces: ring.Bytes(), members: s.members}
}

const snapshotFormat = 1

type snapshotHead struct {
	Format  int       `msgpack:"f"`
	Nonces  []byte    `msgpack:"n"`
	Members committee `msgpack:"m"`
	Records int       `msgpack:"r"`
}

type snapshotRecord struct {
	Key     string `msgpack:"k"`
	Version uint64 `msgpack:"v"`
	Index   uint64 `msgpack:"i"`
	Value   []byte `msgpack:"d"`
}

func (s *snapshot) write(w io.Writer) error {
	head := snapshotHead{Format: snapshotFormat, Nonces: s.nonces, Members: s.members, Records: len(s.records)}
	if err := writeFrame(w, &head); err != nil {
		return err
	}
	for _, r := range s.records {
		if err := writeFrame(w, &snapshotRecord{r.Key, r.Version, r.Index, r.Value}); err != nil {
			return err
		}
	}
	return nil
}

// readState rebuilds a state from a snapshot's bytes.
func readState(r io.Reader) (*state, error) {
	var head snapshotHead
	if err := readFrame(r, &head, maxHead); err != nil {
		return nil, fmt.Errorf("ledger: snapshot head: %w", err)
	}
	if head.Format != snapshotFormat {
		return nil, fmt.Errorf("ledger: a snapshot has format %d, expected %d", head.Format, snapshotFormat)
	}
	s := newState()
	if len(head.Nonces)%len(nonce{}) != 0 || len(head.Nonces)/len(nonce{}) > rememberedNonces {
		return nil, errors.New("ledger: a snapshot's nonces are not whole, or too many")
	}
	for b := head.Nonces; len(b) > 0; b = b[len(nonce{}):] {
		s.remember(nonce(b[:len(nonce{})]))
	}
	s.members = head.Members
	for range head.Records {
		var rec snapshotRecord
		if err := readFrame(r, &rec, maxCommand); err != nil {
			return nil, fmt.Errorf("ledger: snapshot record: %w", err)
		}
		if rec.Key == "" || len(rec.Key) > MaxKey || len(rec.Value) > MaxValue {
			return nil, fmt.Errorf("ledger: a snapshot record of %d and %d bytes is beyond its bounds", len(rec.Key), len(rec.Value))
		}
		s.records[rec.Key] = Record(rec)
		if s.size += len(rec.Key) + len(rec.Value); s.size > maxState {
			return nil, fmt.Errorf("ledger: a snapshot holds more than %d bytes", maxState)
		}
	}
	return s, nil
}
