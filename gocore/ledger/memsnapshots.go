// Snapshots in memory. Raft's own in-memory store shows a snapshot before it is written, so that a follower could be
// sent half of one; this one shows it when it is closed.

package ledger

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

type memorySnapshots struct {
	mu     sync.Mutex
	latest *memorySnapshot
	made   int
}

type memorySnapshot struct {
	store *memorySnapshots
	meta  raft.SnapshotMeta
	data  bytes.Buffer
}

func newMemorySnapshots() *memorySnapshots { return &memorySnapshots{} }

func (m *memorySnapshots) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, configIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.made++
	return &memorySnapshot{store: m, meta: raft.SnapshotMeta{
		Version: version, ID: fmt.Sprintf("%d-%d-%d", term, index, m.made), Index: index, Term: term,
		Configuration: c.Clone(), ConfigurationIndex: configIndex,
	}}, nil
}

func (m *memorySnapshots) List() ([]*raft.SnapshotMeta, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.latest == nil {
		return nil, nil
	}
	meta := m.latest.meta
	return []*raft.SnapshotMeta{&meta}, nil
}

func (m *memorySnapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.latest == nil || m.latest.meta.ID != id {
		return nil, nil, fmt.Errorf("ledger: snapshot %s is gone, a newer one replaced it", id)
	}
	meta := m.latest.meta
	return &meta, io.NopCloser(bytes.NewReader(m.latest.data.Bytes())), nil
}

func (s *memorySnapshot) Write(p []byte) (int, error) { return s.data.Write(p) }
func (s *memorySnapshot) ID() string                  { return s.meta.ID }
func (s *memorySnapshot) Cancel() error               { return nil }

func (s *memorySnapshot) Close() error {
	s.meta.Size = int64(s.data.Len())
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if s.store.latest == nil || s.store.latest.meta.Index <= s.meta.Index {
		s.store.latest = s
	}
	return nil
}
