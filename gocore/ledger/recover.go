// An operator's way out when the committee's majority is gone for good: a new ledger of one voter from what one data
// directory holds, in the next epoch, so that the old voters cannot undo it.

package ledger

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// ErrRunning: the data directory is in use.
var ErrRunning = errors.New("ledger: a peer runs in this data directory; stop it first")

// ErrNoLedger: there is nothing to recover.
var ErrNoLedger = errors.New("ledger: there is no ledger in this data directory")

// versionLeap is added to the version of every recovered record, and to the index: more than anybody can have seen that
// is lost, so that versions and indexes only rise for everyone.
const versionLeap = 1 << 20

// Found is what a stopped peer's data directory knows of the ledger.
type Found struct {
	Server   string // this peer and its incarnation
	Ledger   string
	Epoch    uint64
	Recovery string
	Voters   []PeerID // of the newest configuration known here
	Votes    bool     // this peer is one of them
	Index    uint64   // of the newest entry or record
	Term     uint64
	Records  []Record // by index

	nonces []nonce
}

// Inspect reads a data directory's ledger. It changes nothing. Errors: ErrRunning, ErrNoLedger, or what is damaged.
func Inspect(dataDir string, self PeerID) (Found, error) {
	dir := filepath.Join(dataDir, "ledger")
	if err := finishRecovery(dir); err != nil {
		return Found{}, err
	}
	if _, err := os.Stat(filepath.Join(dir, "raft.db")); err != nil {
		return Found{}, fmt.Errorf("%w: %w", ErrNoLedger, err)
	}
	db, err := openBolt(filepath.Join(dir, "raft.db"), true)
	if err != nil {
		if isLocked(err) {
			return Found{}, ErrRunning
		}
		return Found{}, fmt.Errorf("ledger: cannot open the log in %s: %w", dir, err)
	}
	defer db.Close()
	f, err := db.loadFacts()
	if err != nil {
		return Found{}, fmt.Errorf("ledger: the facts in %s are not readable: %w", dir, err)
	}
	if f.Ledger == "" {
		return Found{}, fmt.Errorf("%w: this peer never belonged to one", ErrNoLedger)
	}
	found := Found{Server: serverID(self, f.Incarnation), Ledger: f.Ledger, Epoch: f.Epoch, Recovery: f.Recovery}
	if err := found.readLog(dir, db); err != nil {
		return Found{}, err
	}
	seen, err := openSeen(filepath.Join(dir, seenFile))
	if err != nil {
		return Found{}, err
	}
	defer seen.Close()
	records, upto, err := seen.load(f.lineage())
	if err != nil {
		return Found{}, fmt.Errorf("ledger: the records seen by this peer are not readable: %w", err)
	}
	if upto > found.Index { // a watcher, or a voter whose log was behind
		found.Records, found.Index = records, upto
	}
	sort.Slice(found.Records, func(i, j int) bool { return found.Records[i].Index < found.Records[j].Index })
	return found, nil
}

// readLog applies the newest snapshot and every entry after it, also those that were not known to be committed: a
// majority that is gone may have committed them.
func (found *Found) readLog(dir string, db *boltStore) error {
	var members committee
	state := newState()
	m := &machine{state: state, view: newView(func(any) {}), members: func(c committee) { members = c }}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, 2, hclog.NewNullLogger())
	if err != nil {
		return fmt.Errorf("ledger: cannot open its snapshots: %w", err)
	}
	list, err := snapshots.List()
	if err != nil {
		return fmt.Errorf("ledger: cannot list its snapshots: %w", err)
	}
	if len(list) > 0 {
		meta, body, err := snapshots.Open(list[0].ID)
		if err == nil {
			err = errors.Join(m.Restore(body), body.Close())
		}
		if err != nil {
			return fmt.Errorf("ledger: its snapshot %s is damaged: %w", list[0].ID, err)
		}
		found.Index, found.Term = meta.Index, meta.Term
		members = committeeOf(meta.ConfigurationIndex, meta.Configuration)
	}
	first, err := db.FirstIndex()
	if err != nil {
		return err
	}
	last, err := db.LastIndex()
	if err != nil {
		return err
	}
	for index := max(first, found.Index+1); first > 0 && index <= last; index++ {
		var entry raft.Log
		if err := db.GetLog(index, &entry); err != nil {
			return fmt.Errorf("ledger: entry %d of the log cannot be read: %w", index, err)
		}
		switch entry.Type {
		case raft.LogCommand:
			m.Apply(&entry)
		case raft.LogConfiguration:
			if err := checkConfiguration(entry.Data); err != nil {
				return err
			}
			members = committeeOf(index, raft.DecodeConfiguration(entry.Data))
		}
		found.Index, found.Term = entry.Index, entry.Term
	}
	found.Voters = members.voterPeers()
	_, found.Votes = members.has(found.Server)
	found.Records = m.state.sorted()
	for i := range m.state.nonces {
		found.nonces = append(found.nonces, m.state.nonces[(m.state.next+i)%len(m.state.nonces)])
	}
	return nil
}

// Recover makes a new ledger of one voter, self, from what the data directory holds, in the next epoch. The old one is
// set aside; its new place is returned. A crash at any moment leaves the old ledger or the new one.
func Recover(dataDir string, self PeerID) (found Found, aside string, err error) {
	if found, err = Inspect(dataDir, self); err != nil {
		return found, "", err
	}
	dir := filepath.Join(dataDir, "ledger")
	fresh := dir + recoveredSuffix + unfinishedSuffix
	if err := os.RemoveAll(fresh); err != nil {
		return found, "", fmt.Errorf("ledger: what an earlier recovery left cannot be removed: %w", err)
	}
	if err := writeRecovered(fresh, self, found); err != nil {
		return found, "", errors.Join(err, os.RemoveAll(fresh))
	}
	if err := os.Rename(fresh, dir+recoveredSuffix); err != nil {
		return found, "", fmt.Errorf("ledger: the recovered ledger cannot be put in place: %w", err)
	}
	if aside, err = SetAside(dataDir, found.Epoch); err != nil {
		return found, "", errors.Join(err, os.RemoveAll(dir+recoveredSuffix))
	}
	return found, aside, errors.Join(finishRecovery(dir), syncDir(dataDir))
}

const (
	recoveredSuffix  = ".recovered"
	unfinishedSuffix = ".unfinished"
)

// finishRecovery ends one that stopped between setting the old ledger aside and putting the new one in its place.
func finishRecovery(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(dir+recoveredSuffix, dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("ledger: the recovered ledger cannot be put in place: %w", err)
	}
	return nil
}

// SetAside moves a data directory's ledger out of the way, and says where to.
func SetAside(dataDir string, epoch uint64) (string, error) {
	dir := filepath.Join(dataDir, "ledger")
	aside := fmt.Sprintf("%s.epoch-%d-%s", dir, epoch, time.Now().UTC().Format("20060102T150405.000000"))
	if err := os.Rename(dir, aside); err != nil {
		return "", fmt.Errorf("ledger: %s cannot be set aside: %w", dir, err)
	}
	return aside, nil
}

func writeRecovered(dir string, self PeerID, found Found) (err error) {
	incarnation := newIncarnation()
	server := serverID(self, incarnation)
	only := raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(server), Address: raft.ServerAddress(server)}}}
	index, term := found.Index+versionLeap, found.Term+1

	state := newState()
	for _, n := range found.nonces {
		state.remember(n)
	}
	for _, r := range found.Records {
		r.Version, r.Index = r.Version+versionLeap, r.Index+versionLeap
		state.records[r.Key] = r
	}
	state.members = committeeOf(index, only)

	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("ledger: cannot make the recovered ledger's directory: %w", err)
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, 2, hclog.NewNullLogger())
	if err != nil {
		return fmt.Errorf("ledger: cannot make the recovered ledger's snapshot: %w", err)
	}
	_, transport := raft.NewInmemTransport(raft.ServerAddress(server)) // Create encodes peers for old versions with it
	sink, err := snapshots.Create(raft.SnapshotVersionMax, index, term, only, index, transport)
	if err != nil {
		return fmt.Errorf("ledger: cannot make the recovered ledger's snapshot: %w", err)
	}
	if err := (frozen{state.freeze()}).Persist(sink); err != nil {
		return fmt.Errorf("ledger: cannot write the recovered ledger's snapshot: %w", err)
	}
	db, err := openBolt(filepath.Join(dir, "raft.db"), true)
	if err != nil {
		return fmt.Errorf("ledger: cannot make the recovered ledger's log: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.SetUint64([]byte("CurrentTerm"), term); err != nil {
		return err
	}
	return db.saveFacts(facts{incarnation, found.Ledger, found.Epoch + 1, randomHex(8)})
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Standing is where a peer that runs stands.
type Standing struct {
	Found         // without records
	Leader PeerID // with which it is in contact; "" without one
}

// Ask learns where the peer at the other end of an authenticated watch connection stands. The caller belongs to no ledger.
func Ask(conn net.Conn, self, peer PeerID, timeout time.Duration) (Standing, error) {
	st, err := sayHello(conn, peer, lineage{}, hello{Kind: kindAsk, From: serverID(self, newIncarnation())}, timeout)
	if err != nil {
		return Standing{}, err
	}
	out := Standing{Found: Found{
		Server: st.Server, Ledger: st.Ledger, Epoch: st.Epoch, Recovery: st.Recovery, Voters: st.Committee.voterPeers(),
		Index: max(st.LastIndex, st.Seen),
	}}
	_, out.Votes = st.Committee.has(st.Server)
	if st.Leads || st.AgeMs >= 0 && time.Duration(st.AgeMs)*time.Millisecond < 2*defaultHeartbeat {
		out.Leader = peerOf(st.Leader)
	}
	return out, nil
}
