// The newest records that this node was told, on disk beside its log: what a watcher has of the ledger, and a voter whose
// log is behind. Only a recovery reads them, so no write waits for the disk, and a file that is damaged is begun anew.

package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
)

const seenFile = "seen.db"

var (
	seenBucket = []byte("records")
	seenFacts  = []byte("facts")
)

type seenStore struct{ db *bolt.DB }

// seenHead says which ledger the records are of, and that every write up to an index is among them.
type seenHead struct {
	Lineage lineage `json:"lineage"`
	Upto    uint64  `json:"upto"`
}

func openSeen(path string) (*seenStore, error) {
	options := &bolt.Options{Timeout: time.Second, NoSync: true, NoFreelistSync: true, FreelistType: bolt.FreelistMapType}
	db, err := bolt.Open(path, 0o600, options)
	if err != nil { // after a power cut, most likely
		if removeErr := os.Remove(path); removeErr != nil {
			return nil, fmt.Errorf("ledger: cannot open %s: %w", path, errors.Join(err, removeErr))
		}
		if db, err = bolt.Open(path, 0o600, options); err != nil {
			return nil, fmt.Errorf("ledger: cannot open %s: %w", path, err)
		}
	}
	return &seenStore{db}, nil
}

func (s *seenStore) Close() error { return s.db.Close() }

// keep writes records over older ones; those of another lineage are forgotten.
func (s *seenStore) keep(of lineage, records []Record, upto uint64) error {
	err := s.db.Update(func(tx *bolt.Tx) error {
		facts, err := tx.CreateBucketIfNotExists(seenFacts)
		if err != nil {
			return err
		}
		if head := readSeenHead(facts); head.Lineage != of && tx.Bucket(seenBucket) != nil {
			if err := tx.DeleteBucket(seenBucket); err != nil {
				return err
			}
		}
		bucket, err := tx.CreateBucketIfNotExists(seenBucket)
		if err != nil {
			return err
		}
		for _, r := range records {
			var frame bytes.Buffer
			if err := writeFrame(&frame, &snapshotRecord{r.Key, r.Version, r.Index, r.Value}); err != nil {
				return err
			}
			if err := bucket.Put([]byte(r.Key), frame.Bytes()); err != nil {
				return err
			}
		}
		head, err := json.Marshal(seenHead{of, upto})
		if err != nil {
			return err
		}
		return facts.Put(seenFacts, head)
	})
	if err != nil {
		return fmt.Errorf("ledger: the records seen could not be kept: %w", err)
	}
	return nil
}

func readSeenHead(facts *bolt.Bucket) (head seenHead) {
	if stored := facts.Get(seenFacts); stored != nil && json.Unmarshal(stored, &head) != nil {
		return seenHead{}
	}
	return head
}

// load returns the records of a lineage and the index that they reach; 0 when there are none of it.
func (s *seenStore) load(of lineage) (records []Record, upto uint64, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		facts, bucket := tx.Bucket(seenFacts), tx.Bucket(seenBucket)
		if facts == nil || bucket == nil {
			return nil
		}
		head := readSeenHead(facts)
		if head.Lineage != of {
			return nil
		}
		upto = head.Upto
		return bucket.ForEach(func(_, value []byte) error {
			var r snapshotRecord
			if err := readFrame(bytes.NewReader(value), &r, maxCommand); err != nil {
				return err
			}
			records = append(records, Record(r))
			return nil
		})
	})
	return records, upto, err
}
