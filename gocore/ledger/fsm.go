// The state as Raft drives it: each committed command once, in order, on one goroutine.

package ledger

import (
	"io"

	"github.com/hashicorp/raft"
)

type machine struct {
	state   *state
	view    *view
	members func(committee) // told of every committed configuration
}

var _ raft.ConfigurationStore = (*machine)(nil)

// Apply returns a WriteError as the future's response.
func (m *machine) Apply(entry *raft.Log) any {
	result, written := m.state.apply(entry.Index, entry.Data)
	if len(written) > 0 {
		m.view.advance(written, entry.Index)
	}
	return result
}

func (m *machine) StoreConfiguration(index uint64, c raft.Configuration) {
	m.state.members = committeeOf(index, c)
	m.members(m.state.members)
}

func (m *machine) Snapshot() (raft.FSMSnapshot, error) { return frozen{m.state.freeze()}, nil }

func (m *machine) Restore(r io.ReadCloser) error {
	s, err := readState(r)
	if err != nil {
		return err
	}
	m.state = s
	records := s.sorted()
	if n := len(records); n > 0 {
		m.view.advance(records, records[n-1].Index)
	}
	m.members(s.members)
	return nil
}

type frozen struct{ *snapshot }

func (f frozen) Persist(sink raft.SnapshotSink) error {
	if err := f.write(sink); err != nil {
		_ = sink.Cancel() // the error that matters is the write's
		return err
	}
	return sink.Close()
}

func (frozen) Release() {}
