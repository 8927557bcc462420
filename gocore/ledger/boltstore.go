// Raft's log and stable values in one bbolt file, with the facts about this log beside them.

package ledger

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"
)

var (
	logBucket    = []byte("log")
	stableBucket = []byte("stable")
	factsBucket  = []byte("facts")
	factsKey     = []byte("facts")
)

// errNotFound has the text that Raft looks for when a stable value is absent.
var errNotFound = errors.New("not found")

type boltStore struct{ db *bolt.DB }

var (
	_ raft.LogStore    = (*boltStore)(nil)
	_ raft.StableStore = (*boltStore)(nil)
)

func openBolt(path string, fsync bool) (*boltStore, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, NoSync: !fsync, NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{logBucket, stableBucket, factsBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &boltStore{db}, nil
}

func (b *boltStore) Close() error { return b.db.Close() }

func (b *boltStore) edge(step func(*bolt.Cursor) ([]byte, []byte)) (index uint64, err error) {
	err = b.db.View(func(tx *bolt.Tx) error {
		if key, _ := step(tx.Bucket(logBucket).Cursor()); key != nil {
			index = binary.BigEndian.Uint64(key)
		}
		return nil
	})
	return index, err
}

func (b *boltStore) FirstIndex() (uint64, error) { return b.edge((*bolt.Cursor).First) }
func (b *boltStore) LastIndex() (uint64, error)  { return b.edge((*bolt.Cursor).Last) }

func (b *boltStore) GetLog(index uint64, entry *raft.Log) error {
	return b.db.View(func(tx *bolt.Tx) error {
		value := tx.Bucket(logBucket).Get(indexKey(index))
		if value == nil {
			return raft.ErrLogNotFound
		}
		return decodeEntry(index, value, entry)
	})
}

func (b *boltStore) StoreLog(entry *raft.Log) error { return b.StoreLogs([]*raft.Log{entry}) }

func (b *boltStore) StoreLogs(entries []*raft.Log) error {
	return b.db.Update(func(tx *bolt.Tx) error {
		bucket := tx.Bucket(logBucket)
		for _, entry := range entries {
			if err := bucket.Put(indexKey(entry.Index), encodeEntry(entry)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *boltStore) DeleteRange(first, last uint64) error {
	return b.db.Update(func(tx *bolt.Tx) error {
		cursor := tx.Bucket(logBucket).Cursor()
		for key, _ := cursor.Seek(indexKey(first)); key != nil && binary.BigEndian.Uint64(key) <= last; key, _ = cursor.Next() {
			if err := cursor.Delete(); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *boltStore) Set(key, value []byte) error {
	return b.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(stableBucket).Put(key, value) })
}

func (b *boltStore) Get(key []byte) (value []byte, err error) {
	err = b.db.View(func(tx *bolt.Tx) error {
		stored := tx.Bucket(stableBucket).Get(key)
		if stored == nil {
			return errNotFound
		}
		value = append([]byte{}, stored...)
		return nil
	})
	return value, err
}

func (b *boltStore) SetUint64(key []byte, value uint64) error { return b.Set(key, indexKey(value)) }

func (b *boltStore) GetUint64(key []byte) (uint64, error) {
	value, err := b.Get(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("ledger: stable value %q has %d bytes, expected 8", key, len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}

// loadFacts returns zero facts when the file is new.
func (b *boltStore) loadFacts() (f facts, err error) {
	err = b.db.View(func(tx *bolt.Tx) error {
		if stored := tx.Bucket(factsBucket).Get(factsKey); stored != nil {
			return json.Unmarshal(stored, &f)
		}
		return nil
	})
	return f, err
}

// saveFacts reaches the disk whether or not the log does: they are few, and two logs must never share them.
func (b *boltStore) saveFacts(f facts) error {
	value, err := json.Marshal(f)
	if err != nil {
		return err
	}
	err = b.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(factsBucket).Put(factsKey, value) })
	if err != nil {
		return err
	}
	return b.db.Sync()
}

func indexKey(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

// An entry is term (8), type (1), time (8, Unix ns), length of extensions (4), extensions, data.
const entryHead = 21

func encodeEntry(e *raft.Log) []byte {
	out := make([]byte, 0, entryHead+len(e.Extensions)+len(e.Data))
	out = binary.BigEndian.AppendUint64(out, e.Term)
	out = append(out, byte(e.Type))
	out = binary.BigEndian.AppendUint64(out, uint64(e.AppendedAt.UnixNano()))
	out = binary.BigEndian.AppendUint32(out, uint32(len(e.Extensions)))
	out = append(out, e.Extensions...)
	return append(out, e.Data...)
}

func decodeEntry(index uint64, value []byte, e *raft.Log) error {
	if len(value) < entryHead || uint64(len(value)) < entryHead+uint64(binary.BigEndian.Uint32(value[17:])) {
		return fmt.Errorf("ledger: log entry %d is cut off at %d bytes", index, len(value))
	}
	value = append([]byte{}, value...) // bbolt's memory ends with the transaction
	extensions := int(binary.BigEndian.Uint32(value[17:]))
	*e = raft.Log{
		Index: index, Term: binary.BigEndian.Uint64(value), Type: raft.LogType(value[8]),
		AppendedAt: time.Unix(0, int64(binary.BigEndian.Uint64(value[9:]))),
		Extensions: value[entryHead : entryHead+extensions], Data: value[entryHead+extensions:],
	}
	if extensions == 0 {
		e.Extensions = nil
	}
	return nil
}
