// The watch plane's following half. Who is no voter watches one, the watchers spread over the voters by hash; a voter
// watches the leader, because Raft tells followers of a commit only with the next entry or CommitTimeout later.

package ledger

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sort"
	"sync/atomic"
	"time"
)

// askAround is how many peers that may know a voter are asked before a pause.
const askAround = 3

// follow keeps one watch for as long as this node does not lead.
func (l *Ledger) follow() {
	tried := map[PeerID]bool{}
	for leader := ""; l.ctx.Err() == nil; {
		changed := l.standing.changed.wait()
		if now := l.standing.leaderServer(); now != leader {
			leader = now
			clear(tried) // who could not serve before may now
		}
		if l.leads() {
			l.pause(changed, 0)
			continue
		}
		since := l.standing.committee().Index // what the choice rests on
		peer := l.upstream(tried)
		if peer == "" {
			clear(tried)
			l.asked++
			l.pause(changed, l.cfg.Heartbeat/8)
			continue
		}
		tried[peer] = true
		served, err := l.watch(peer, since)
		l.unwatched()
		if served {
			clear(tried)
			tried[peer] = !errors.Is(err, errSwitched) // one that broke is not the first to try
		}
		if err != nil && l.ctx.Err() == nil {
			l.log.Debug("watch ended", "peer", peer, "error", err)
			l.noteRefusal(err)
		}
	}
}

// pause waits for a change, for at most limit when it is not 0.
func (l *Ledger) pause(changed <-chan struct{}, limit time.Duration) {
	var timer <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-changed:
	case <-timer:
	case <-l.ctx.Done():
	}
}

// upstream chooses whom to turn to next: a voter its leader, others the first voter in their own order, and anyone
// alive when no voter is known or answers.
func (l *Ledger) upstream(tried map[PeerID]bool) PeerID {
	if l.votes() {
		if leader := peerOf(l.standing.leaderServer()); leader != "" && leader != l.cfg.Self && !tried[leader] {
			return leader
		}
	}
	live := map[PeerID]bool{}
	var others []PeerID
	for _, m := range l.cfg.Live() {
		if m.ID != l.cfg.Self {
			live[m.ID] = true
			others = append(others, m.ID)
		}
	}
	voters := l.standing.committee().voterPeers()
	sortByHash(l.cfg.Self, voters)
	sort.SliceStable(voters, func(i, j int) bool { return live[voters[i]] && !live[voters[j]] })
	sortByHash(l.cfg.Self, others)
	if n := len(others); n > askAround { // another few each time round, not all of a large swarm
		start := (l.asked * askAround) % n
		others = append(others[start:], others[:start]...)[:askAround]
	}
	for _, p := range append(voters, others...) {
		if p != l.cfg.Self && !tried[p] {
			return p
		}
	}
	return ""
}

// sortByHash orders peers by rendezvous hash with one's own id: each watcher has an order of its own, and one voter
// less moves only its watchers.
func sortByHash(self PeerID, peers []PeerID) {
	weight := func(p PeerID) uint64 {
		h := fnv.New64a()
		h.Write([]byte(self + p))
		return h.Sum64() * 0x9e3779b97f4a7c15 // FNV's high bits hardly differ between near keys
	}
	sort.Slice(peers, func(i, j int) bool { return weight(peers[i]) < weight(peers[j]) })
}

var errSwitched = errors.New("ledger: another voter is to be watched")

var errStale = errors.New("ledger: the watched voter has no contact with a leader")

// watch follows one peer, chosen with the committee of index since, until it fails, goes stale, or another is better.
// served: records came.
func (l *Ledger) watch(peer PeerID, since uint64) (served bool, err error) {
	ctx, cancel := context.WithTimeout(l.ctx, l.ioTimeout())
	defer cancel()
	conn, err := l.dial(ctx, peer, PlaneWatch)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	kind := kindWatch
	if l.votes() && peerOf(l.standing.leaderServer()) != peer {
		kind = kindAsk // a voter without a leader only looks for one
	}
	after := l.view.watermark()
	st, err := l.introduce(conn, peer, hello{Kind: kind, After: after})
	var refused *refusal
	if errors.As(err, &refused) && refused.reason == refusedEpoch {
		l.meet(peer, refused.status.lineage())
		return false, err // again, if the epoch was adopted
	}
	if err != nil {
		return false, err
	}
	if err := l.adopt(st.lineage()); err != nil {
		return false, err
	}
	l.noteServer(st.Server)
	l.hear(st, false)
	l.noteStatus(st)
	if _, voter := st.Committee.has(st.Server); kind == kindAsk || !voter {
		return false, nil
	}
	done := make(chan struct{})
	defer close(done)
	var switched atomic.Bool
	l.spawn("watch switch", func() {
		for {
			changed := l.standing.changed.wait()
			if !l.stillGood(peer, since) {
				switched.Store(true)
				conn.Close()
				return
			}
			select {
			case <-changed:
			case <-done:
				return
			case <-l.ctx.Done():
				conn.Close()
				return
			}
		}
	})
	for {
		if err := conn.SetReadDeadline(time.Now().Add(2 * l.cfg.Heartbeat)); err != nil {
			return served, err
		}
		var f feed
		if err := readFrame(conn, &f, maxFeed); err != nil {
			if switched.Load() {
				err = errSwitched
			}
			return served, err
		}
		records, err := fromWire(f)
		if err != nil {
			l.fault("watch", fmt.Errorf("peer %s: %w", peer, err))
			return served, err
		}
		served = true
		l.view.advance(records, f.Upto)
		if f.Status != nil {
			if err := f.Status.check(peer); err != nil {
				return served, err
			}
			l.hear(*f.Status, true)
			if f.Status.AgeMs < 0 || f.Status.AgeMs > 2*l.cfg.Heartbeat.Milliseconds() {
				return served, errStale
			}
		}
	}
}

// stillGood: the watched peer is what this node should watch. Once the committee is another than it was since, a
// watcher moves to the first voter in its order: those that began with the founder would all stay with it.
func (l *Ledger) stillGood(peer PeerID, since uint64) bool {
	if l.leads() {
		return false
	}
	if l.votes() {
		return peerOf(l.standing.leaderServer()) == peer
	}
	known := l.standing.committee()
	voters := known.voterPeers()
	if known.Index == since {
		return slices.Contains(voters, peer)
	}
	sortByHash(l.cfg.Self, voters)
	return len(voters) > 0 && voters[0] == peer
}

func fromWire(f feed) ([]Record, error) {
	records := make([]Record, len(f.Records))
	var last uint64
	for i, r := range f.Records {
		if r.Key == "" || len(r.Key) > MaxKey || len(r.Value) > MaxValue || r.Index < last || r.Index > f.Upto {
			return nil, fmt.Errorf("ledger: a watched record %.80q at index %d is out of bounds or order", r.Key, r.Index)
		}
		last = r.Index
		records[i] = Record(r)
	}
	return records, nil
}
