// Package ledger is a small replicated record store: a Raft log over a committee of 1, 3 or 5 voters that the
// peers choose and replace themselves; every other peer watches a voter.
//
// It knows nothing of what the records mean. Raft (hashicorp/raft) does the agreeing; this package gives it a
// transport, stores and a state, and decides who votes.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"pyfl/gocore/goroutines"
)

// ErrClosed: the ledger was closed.
var ErrClosed = errors.New("ledger: closed")

// ErrNotLeader: the call is for the leader and this node is not it.
var ErrNotLeader = errors.New("ledger: this node is not the leader; only the leader can do this")

// Ledger is one peer's part of the replicated record store. All methods are safe for concurrent use.
type Ledger struct {
	cfg  Config
	self string // this server: peer and incarnation
	log  hclog.Logger

	events *emitter
	view   *view
	stores *stores
	conns  *connSet
	roster *roster

	raft      atomic.Pointer[raft.Raft]
	transport *raftTransport
	raftSeen  chan raft.Observation
	raftEnded chan struct{}

	standing      standing
	lastCommittee Committee // as emitted, under standing.mu
	observe       poke      // look at the standing again
	manage        poke      // look at the committee again

	asked       int // rounds of asking around, of follow alone
	adopting    sync.Mutex
	leaving     atomic.Bool
	campaigning atomic.Bool
	overtaken   atomic.Bool          // told once
	metLeader   atomic.Bool          // some leader was known since the start
	leaderless  map[string]time.Time // voters that know no leader; under roster.mu

	ctx     context.Context
	cancel  context.CancelFunc
	running *goroutines.Group
	closed  sync.Once

	mu          sync.Mutex
	closing     bool
	outstanding int
	lastRequest int64
	faultsSince time.Time
	faults      map[string]bool // told in this window
}

// New opens the ledger (resuming what DataDir has), starts its goroutines and returns. It does not wait for a leader.
func New(cfg Config) (*Ledger, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Ledger{
		cfg: cfg, log: cfg.Logger, events: &emitter{sink: cfg.Events}, conns: newConnSet(), roster: newRoster(),
		raftSeen: make(chan raft.Observation, 64), raftEnded: make(chan struct{}),
		observe: newPoke(), manage: newPoke(), leaderless: map[string]time.Time{},
	}
	l.running = goroutines.Told(l.fault)
	l.view = newView(l.events.emit)
	l.standing.began = time.Now()
	if l.stores, err = openStores(cfg, l.fault); err != nil {
		return nil, err
	}
	if seen := l.stores.seen; seen != nil {
		l.view.keep = func(records []Record, upto uint64) {
			if err := seen.keep(l.stores.getFacts().lineage(), records, upto); err != nil {
				l.fault("ledger records", err)
			}
		}
	}
	l.self = serverID(cfg.Self, l.stores.getFacts().Incarnation)
	l.ctx, l.cancel = context.WithCancel(context.Background())
	st := &stream{l: l, ready: make(chan net.Conn)}
	if err := l.startRaft(st); err != nil {
		l.cancel()
		l.running.Wait()
		return nil, errors.Join(err, l.stores.close())
	}
	l.spawn("standing", l.watchStanding)
	l.spawn("committee", l.manageCommittee)
	l.spawn("follow", l.follow)
	l.spawn("ledger plane", func() { l.acceptLoop(cfg.RaftListener, st.serveRaft) })
	l.spawn("watch plane", func() { l.acceptLoop(cfg.WatchListener, l.serveWatchPlane) })
	if voters := (committee{Servers: l.latestServers()}).voters(); len(voters) == 1 && voters[0] == l.self {
		l.campaign("") // nobody else could lead: why wait
	}
	return l, nil
}

// startRaft resumes the log, or founds one, and starts Raft.
func (l *Ledger) startRaft(st *stream) error {
	s := l.stores
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(l.self)
	conf.HeartbeatTimeout, conf.ElectionTimeout = l.cfg.Heartbeat, l.cfg.Heartbeat
	conf.LeaderLeaseTimeout = l.cfg.Heartbeat / 2
	// Followers learn of a commit with the next entry or this much later. Nobody waits for that: voters watch the
	// leader. At 50 ms an idle leader takes three times the processor.
	conf.CommitTimeout = l.cfg.Heartbeat / 5
	conf.MaxAppendEntries = 16 // entries are up to 2 MiB
	conf.ShutdownOnRemove = false
	conf.SnapshotThreshold = l.cfg.SnapshotThreshold
	conf.SnapshotInterval = 20 * l.cfg.Heartbeat
	conf.TrailingLogs = l.cfg.TrailingLogs
	conf.NoLegacyTelemetry = true
	conf.Logger = l.log.Named("raft")

	l.transport = &raftTransport{l: l, calls: make(chan raft.RPC), NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: st, MaxPool: pooledConns, Timeout: l.ioTimeout(), Logger: l.log.Named("raft-net"),
	})}
	existing, err := raft.HasExistingState(s.log, s.stable, s.snapshots)
	if err != nil {
		return errors.Join(fmt.Errorf("ledger: cannot read its log: %w", err), l.transport.Close())
	}
	facts := s.getFacts()
	if !existing && facts.Ledger == "" && l.cfg.Found {
		only := raft.Configuration{Servers: []raft.Server{{ID: conf.LocalID, Address: raft.ServerAddress(l.self)}}}
		if err := raft.BootstrapCluster(conf, s.log, s.stable, s.snapshots, l.transport, only); err != nil {
			return errors.Join(fmt.Errorf("ledger: cannot found: %w", err), l.transport.Close())
		}
		existing = true
	}
	if existing && facts.Ledger == "" {
		// Just founded, or a founder that stopped right here: a joiner takes its ledger's id before its first entry.
		facts.Ledger, facts.Epoch = newLedgerID(), 1
		if err := s.setFacts(facts); err != nil {
			return errors.Join(err, l.transport.Close())
		}
	}
	machine := &machine{state: newState(), view: l.view, members: l.learn}
	r, err := raft.NewRaft(conf, machine, s.log, s.stable, s.snapshots, l.transport)
	if err != nil {
		return errors.Join(fmt.Errorf("ledger: cannot start: %w", err), l.transport.Close())
	}
	l.raft.Store(r)
	l.standing.mu.Lock()
	if l.standing.known.Index == 0 {
		l.standing.known.Servers = l.latestServers() // until the log tells, or someone who is further
	}
	if facts.Ledger != "" {
		l.emitCommitteeLocked() // the epoch is known before a watch brings records of it
	}
	l.standing.mu.Unlock()
	r.RegisterObserver(raft.NewObserver(l.raftSeen, false, nil))
	l.spawn("guard", l.transport.guard)
	return nil
}

// Read returns a record as this node knows it.
func (l *Ledger) Read(key string) (Record, bool) { return l.view.get(key) }

// MembershipChanged: call it when Live would answer differently: members, labels, eligibility.
func (l *Ledger) MembershipChanged() {
	l.manage.poke()
	l.standing.touch()
}

// Close stops everything; it returns when all of the ledger's goroutines have ended. Idempotent.
func (l *Ledger) Close() (err error) {
	l.closed.Do(func() {
		l.mu.Lock()
		l.closing = true
		l.mu.Unlock()
		l.cancel()
		for _, listener := range []net.Listener{l.cfg.RaftListener, l.cfg.WatchListener} {
			if e := listener.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
				err = errors.Join(err, e)
			}
		}
		l.conns.closeAll()
		err = errors.Join(err, l.raft.Load().Shutdown().Error())
		close(l.raftEnded)
		l.running.Wait()
		l.events.close()
		err = errors.Join(err, l.stores.close())
	})
	return err
}

// spawn starts a goroutine of the ledger; false once it closes. A panic ends the goroutine and is told as a fault.
func (l *Ledger) spawn(where string, run func()) bool {
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		return false
	}
	l.running.Go(where, run)
	l.mu.Unlock()
	return true
}

// faultWindow and faultsInIt bound the events that a hostile or lost peer can cause; the log has them all.
const (
	faultWindow = 10 * time.Second
	faultsInIt  = 32
)

// fault tells the owner that a defence fired, the same words once in a window.
func (l *Ledger) fault(where string, err error) {
	l.log.Warn("fault", "where", where, "error", err)
	text := err.Error()
	l.mu.Lock()
	if now := time.Now(); now.Sub(l.faultsSince) > faultWindow {
		l.faultsSince = now
		l.faults = map[string]bool{}
	}
	tell := !l.faults[text] && len(l.faults) < faultsInIt
	if tell {
		l.faults[text] = true
	}
	l.mu.Unlock()
	if tell {
		l.events.emit(Fault{Where: where, Error: text})
	}
}

// dial opens a tracked connection, which closes with the ledger.
func (l *Ledger) dial(ctx context.Context, peer PeerID, plane Plane) (net.Conn, error) {
	conn, err := l.cfg.Dial(ctx, peer, plane)
	if err != nil {
		return nil, err
	}
	tracked, err := l.conns.add(conn, peer, false)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return tracked, nil
}

// ioTimeout bounds one exchange with a peer.
func (l *Ledger) ioTimeout() time.Duration { return max(2*l.cfg.Heartbeat, time.Second) }

// raftIdle bounds the silence on an accepted Raft connection; a pooled one that is closed is dialed again.
func (l *Ledger) raftIdle() time.Duration { return max(20*l.cfg.Heartbeat, time.Minute) }
