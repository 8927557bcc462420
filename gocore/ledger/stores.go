// Where a ledger keeps itself: data_dir/ledger on disk, or memory when there is no data directory.

package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	bolterrors "go.etcd.io/bbolt/errors"
)

// facts about one log. The incarnation lives in the log's own file, so that they are lost together.
type facts struct {
	Incarnation string `json:"incarnation"`
	Ledger      string `json:"ledger"` // "" until a ledger was founded or joined
	Epoch       uint64 `json:"epoch"`
	Recovery    string `json:"recovery,omitempty"` // which recovery began this epoch; "" for the founder's
}

type stores struct {
	log       raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore

	appended   broadcast // wakes at every append to the log
	lastStored atomic.Uint64

	bolt *boltStore // nil in memory
	seen *seenStore // nil in memory

	mu    sync.Mutex
	facts facts
}

func openStores(cfg Config, fault func(where string, err error)) (*stores, error) {
	s := &stores{}
	if cfg.DataDir == "" {
		memory := raft.NewInmemStore()
		s.log, s.stable, s.snapshots = memory, memory, newMemorySnapshots()
	} else if err := s.openDir(filepath.Join(cfg.DataDir, "ledger"), cfg.Fsync, cfg.Logger, fault); err != nil {
		return nil, err
	}
	s.log = appendLog{s.log, s}
	if s.facts.Incarnation == "" {
		if err := s.setFacts(facts{newIncarnation(), cfg.Follow.Ledger, cfg.Follow.Epoch, cfg.Follow.Recovery}); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

func (s *stores) openDir(dir string, fsync bool, logger hclog.Logger, fault func(string, error)) error {
	if err := finishRecovery(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("ledger: cannot make its directory: %w", err)
	}
	path, snapshots := filepath.Join(dir, "raft.db"), filepath.Join(dir, "snapshots")
	_, statErr := os.Stat(path)
	db, err := openBolt(path, fsync)
	if isLocked(err) {
		return fmt.Errorf("ledger: %s is locked: another process uses this data directory; stop it or choose another", path)
	}
	if errors.Is(err, bolterrors.ErrInvalid) || errors.Is(err, bolterrors.ErrChecksum) || errors.Is(err, bolterrors.ErrVersionMismatch) {
		aside := fmt.Sprintf("%s.corrupt-%d", path, time.Now().UnixNano())
		if renameErr := os.Rename(path, aside); renameErr != nil {
			return fmt.Errorf("ledger: %s is corrupt and cannot be set aside: %w", path, errors.Join(err, renameErr))
		}
		fault("ledger log", fmt.Errorf("%s was corrupt (%w); it was set aside as %s and this peer joins with a new log", path, err, aside))
		statErr = os.ErrNotExist
		db, err = openBolt(path, fsync)
	}
	if err != nil {
		return fmt.Errorf("ledger: cannot open %s: %w", path, err)
	}
	if errors.Is(statErr, os.ErrNotExist) {
		// Snapshots without their log: a server of that name may have voted elsewhere. They must not be resumed.
		if _, err := os.Stat(snapshots); err == nil {
			if err := os.Rename(snapshots, fmt.Sprintf("%s.orphaned-%d", snapshots, time.Now().UnixNano())); err != nil {
				return errors.Join(fmt.Errorf("ledger: cannot set orphaned snapshots aside: %w", err), db.Close())
			}
		}
	}
	if s.facts, err = db.loadFacts(); err != nil {
		return errors.Join(fmt.Errorf("ledger: the facts in %s are not readable: %w", path, err), db.Close())
	}
	// FileSnapshotStore adds "snapshots" to the path itself.
	if s.snapshots, err = raft.NewFileSnapshotStoreWithLogger(dir, 2, logger.Named("snapshots")); err != nil {
		return errors.Join(fmt.Errorf("ledger: cannot open its snapshots: %w", err), db.Close())
	}
	if s.seen, err = openSeen(filepath.Join(dir, seenFile)); err != nil {
		return errors.Join(err, db.Close())
	}
	s.bolt, s.log, s.stable = db, db, db
	return nil
}

func (s *stores) getFacts() facts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.facts
}

func (s *stores) setFacts(f facts) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bolt != nil {
		if err := s.bolt.saveFacts(f); err != nil {
			return fmt.Errorf("ledger: cannot write its facts: %w", err)
		}
	}
	s.facts = f
	return nil
}

func (s *stores) close() error {
	if s.bolt == nil {
		return nil
	}
	return errors.Join(s.seen.Close(), s.bolt.Close())
}

// appendLog tells of every append.
type appendLog struct {
	raft.LogStore
	stores *stores
}

func (a appendLog) StoreLog(entry *raft.Log) error { return a.StoreLogs([]*raft.Log{entry}) }

func (a appendLog) StoreLogs(entries []*raft.Log) error {
	if err := a.LogStore.StoreLogs(entries); err != nil {
		return err
	}
	if n := len(entries); n > 0 {
		a.stores.lastStored.Store(entries[n-1].Index)
		a.stores.appended.wake()
	}
	return nil
}

// isLocked: another process has the file open.
func isLocked(err error) bool { return errors.Is(err, bolterrors.ErrTimeout) }
