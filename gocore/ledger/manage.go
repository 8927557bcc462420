// Committee management: what the leader does to have the voters that plan asks for, one step at a time, woken by
// events and by a slow tick for what only time decides.

package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// catchUpAttempts, each of one I/O timeout, before another peer is tried in a non-voter's place.
const catchUpAttempts = 3

// nudgeAfter is well beyond what a configuration change takes, milliseconds on a loaded machine.
const nudgeAfter = 100 * time.Millisecond

// roster is what this node has noticed of peers and servers; each node keeps it, as any may come to lead.
type roster struct {
	mu         sync.Mutex
	down       map[PeerID]bool      // confirmed or said goodbye, and not seen since
	missing    map[PeerID]time.Time // a server's peer is not live
	ineligible map[PeerID]time.Time
	servers    map[PeerID]string    // the incarnation that last proved itself
	leaving    map[string]time.Time // servers that asked to stop voting
	unfit      map[PeerID]time.Time // did not answer or catch up, until then
	foreign    map[PeerID]bool      // of another lineage when last asked; a handshake of ours takes it back
	caught     map[string]int       // non-voters: -1 caught up, 0 asked, n failed n times
	failing    map[string]bool      // servers that do not answer Raft's heartbeats
}

func newRoster() *roster {
	return &roster{
		down: map[PeerID]bool{}, missing: map[PeerID]time.Time{}, ineligible: map[PeerID]time.Time{},
		servers: map[PeerID]string{}, leaving: map[string]time.Time{}, unfit: map[PeerID]time.Time{}, foreign: map[PeerID]bool{},
		caught: map[string]int{}, failing: map[string]bool{},
	}
}

const caughtUp = -1

// noteServer: a peer proved to run this server.
func (l *Ledger) noteServer(id string) {
	l.roster.mu.Lock()
	old, foreign := l.roster.servers[peerOf(id)], l.roster.foreign[peerOf(id)]
	l.roster.servers[peerOf(id)] = id
	delete(l.roster.foreign, peerOf(id))
	l.roster.mu.Unlock()
	if old != id || foreign {
		l.manage.poke()
	}
}

// noteRefusal learns from a refused handshake: a lost log's new incarnation, or a swarm that is not ours.
func (l *Ledger) noteRefusal(err error) {
	var r *refusal
	if !errors.As(err, &r) {
		return
	}
	switch r.reason {
	case refusedServer:
		l.noteServer(r.status.Server)
	case refusedLedger, refusedRecovery:
		l.noteForeign(r.peer)
		l.fault("ledger handshake", r)
	case refusedEpoch:
		l.noteForeign(r.peer)
		l.meet(r.peer, r.status.lineage())
	}
}

func (l *Ledger) noteForeign(peer PeerID) {
	l.roster.mu.Lock()
	defer l.roster.mu.Unlock()
	l.roster.foreign[peer] = true
}

func (l *Ledger) markLeaving(id string) {
	l.roster.mu.Lock()
	l.roster.leaving[id] = time.Now()
	l.roster.mu.Unlock()
	l.manage.poke()
}

func (l *Ledger) noteHeartbeat(id string, failing bool) {
	l.roster.mu.Lock()
	if failing {
		l.roster.failing[id] = true
	} else {
		delete(l.roster.failing, id)
	}
	l.roster.mu.Unlock()
	l.manage.poke()
}

func (l *Ledger) manageCommittee() {
	tick := time.NewTicker(l.cfg.Heartbeat / 2)
	defer tick.Stop()
	led := false
	for {
		select {
		case <-l.manage:
		case <-tick.C:
		case <-l.ctx.Done():
			return
		}
		leads := l.leads()
		if leads != led {
			l.roster.mu.Lock() // what was known of followers was another term's
			clear(l.roster.caught)
			clear(l.roster.failing)
			l.roster.mu.Unlock()
			led = leads
		}
		for leads && l.ctx.Err() == nil && l.takeStep() && l.leads() {
		}
	}
}

// takeStep does the next step of the plan; false when there is none, or it failed and the tick shall try again.
func (l *Ledger) takeStep() bool {
	next := plan(l.planInput())
	if next.Kind == stepNone {
		return false
	}
	r := l.raft.Load()
	deadline := time.Now().Add(l.ioTimeout())
	id, addr := raft.ServerID(next.Server), raft.ServerAddress(next.Server)
	var future raft.Future
	switch next.Kind {
	case stepAdd:
		st, err := l.question(next.Peer, hello{Kind: kindAsk}, l.ioTimeout())
		if err != nil {
			l.log.Info("a peer cannot become a voter now", "peer", next.Peer, "error", err)
			l.noteRefusal(err)
			l.setUnfit(next.Peer)
			return true
		}
		l.noteServer(st.Server)
		next.Server = st.Server
		future = r.AddNonvoter(raft.ServerID(st.Server), raft.ServerAddress(st.Server), 0, l.ioTimeout())
	case stepPromote:
		future = r.AddVoter(id, addr, 0, l.ioTimeout())
	case stepRemove:
		future = r.RemoveServer(id, 0, l.ioTimeout())
	case stepTransfer:
		future = r.LeadershipTransferToServer(id, addr)
	}
	// Raft drops a follower's answer to a configuration entry that arrives before the leader has counted the follower
	// in (commitment.match before setConfiguration), and then commits it only with the next entry. This is that entry.
	nudge := time.AfterFunc(nudgeAfter, func() {
		l.spawn("nudge", func() {
			if err, ended := l.await(r.Barrier(l.ioTimeout()), deadline); !ended || err != nil {
				l.log.Debug("nudging a configuration change", "error", err, "ended", ended)
			}
		})
	})
	err, ended := l.await(future, deadline)
	nudge.Stop()
	l.log.Info("committee step", "step", next.Kind, "server", next.Server, "error", err, "ended", ended)
	return ended && err == nil
}

func (k stepKind) String() string {
	return [...]string{"none", "add", "promote", "remove", "transfer"}[k]
}

func (l *Ledger) setUnfit(peer PeerID) {
	l.roster.mu.Lock()
	l.roster.unfit[peer] = time.Now().Add(l.cfg.Grace)
	l.roster.mu.Unlock()
}

// planInput gathers what the leader sees, and asks non-voters how far they are.
func (l *Ledger) planInput() planInput {
	now := time.Now()
	live := map[PeerID]Member{}
	for _, m := range l.cfg.Live() {
		live[m.ID] = m
	}
	in := planInput{Self: l.self, Voters: l.cfg.Voters, Places: map[PeerID]applicant{}}
	servers := l.latestServers()
	l.roster.mu.Lock()
	defer l.roster.mu.Unlock()
	ro := l.roster
	ro.tidy(live, servers, now, l.cfg.Grace)
	for _, s := range servers {
		peer := peerOf(s.ID)
		m, alive := live[peer]
		in.Places[peer] = placeOf(m)
		seat := seat{ID: s.ID, Voter: s.Voter, Alive: alive && !ro.failing[s.ID], Caught: ro.caught[s.ID] == caughtUp}
		_, wantsOut := ro.leaving[s.ID]
		current, known := ro.servers[peer]
		switch {
		case s.ID == l.self:
			seat.Alive = true
			if l.leaving.Load() {
				seat.Health = departed
			} else if alive && !m.Eligible && now.Sub(ro.ineligible[peer]) > l.cfg.Grace {
				seat.Health = weak
			}
		case known && current != s.ID:
			seat.Health, seat.Alive = departed, false
		case wantsOut || ro.down[peer]:
			seat.Health = departed
		case !alive:
			seat.Health = away
			if now.Sub(ro.missing[peer]) > l.cfg.Grace {
				seat.Health = departed
			}
		case !m.Eligible && now.Sub(ro.ineligible[peer]) > l.cfg.Grace:
			seat.Health = weak
		}
		if !s.Voter && seat.Health == healthy && seat.Alive && !seat.Caught {
			l.awaitCaughtUpLocked(s.ID)
		}
		in.Seats = append(in.Seats, seat)
	}
	for _, m := range live {
		if _, wantsOut := ro.leaving[ro.servers[m.ID]]; m.Eligible && !wantsOut && ro.unfit[m.ID].IsZero() && !ro.foreign[m.ID] &&
			!(m.ID == l.cfg.Self && l.leaving.Load()) {
			in.Applicants = append(in.Applicants, placeOf(m))
		}
	}
	return in
}

func placeOf(m Member) applicant {
	return applicant{Peer: m.ID, Region: m.Labels["region"], Site: m.Labels["site"]}
}

// tidy brings the times up to date and forgets what no longer matters.
func (ro *roster) tidy(live map[PeerID]Member, servers []server, now time.Time, grace time.Duration) {
	seated := map[PeerID]bool{}
	for _, s := range servers {
		peer := peerOf(s.ID)
		seated[peer] = true
		if _, alive := live[peer]; alive {
			delete(ro.missing, peer)
		} else if ro.missing[peer].IsZero() {
			ro.missing[peer] = now
		}
	}
	for peer, m := range live {
		delete(ro.down, peer)
		if m.Eligible {
			delete(ro.ineligible, peer)
		} else if ro.ineligible[peer].IsZero() {
			ro.ineligible[peer] = now
		}
	}
	for peer := range ro.servers {
		if _, alive := live[peer]; !alive && !seated[peer] {
			delete(ro.servers, peer)
			delete(ro.down, peer)
			delete(ro.missing, peer)
			delete(ro.ineligible, peer)
		}
	}
	for peer := range ro.foreign {
		if _, alive := live[peer]; !alive {
			delete(ro.foreign, peer)
		}
	}
	for id, since := range ro.leaving {
		if _, alive := live[peerOf(id)]; !alive && !seated[peerOf(id)] || now.Sub(since) > 10*grace {
			delete(ro.leaving, id)
		}
	}
	for peer, until := range ro.unfit {
		if now.After(until) {
			delete(ro.unfit, peer)
		}
	}
}

// awaitCaughtUpLocked asks a non-voter to answer when its log is where the leader's is now.
func (l *Ledger) awaitCaughtUpLocked(id string) {
	if failed, asked := l.roster.caught[id]; asked && failed == 0 {
		return
	}
	failed := l.roster.caught[id]
	l.roster.caught[id] = 0
	index := l.raft.Load().CommitIndex()
	l.spawn("catch-up", func() {
		st, err := l.question(peerOf(id), hello{Kind: kindCaughtUp, To: id, After: index}, 2*l.ioTimeout())
		l.roster.mu.Lock()
		switch {
		case err == nil && st.LastIndex >= index:
			l.roster.caught[id] = caughtUp
		case failed+1 < catchUpAttempts:
			l.roster.caught[id] = failed + 1
		default:
			delete(l.roster.caught, id)
			l.roster.unfit[peerOf(id)] = time.Now().Add(l.cfg.Grace)
		}
		l.roster.mu.Unlock()
		if err != nil {
			l.noteRefusal(err)
			l.log.Debug("a non-voter did not answer", "server", id, "error", err)
		}
		l.manage.poke()
	})
}

// question asks a peer something on the watch plane and returns its answer.
func (l *Ledger) question(peer PeerID, h hello, timeout time.Duration) (status, error) {
	ctx, cancel := context.WithTimeout(l.ctx, timeout)
	defer cancel()
	conn, err := l.dial(ctx, peer, PlaneWatch)
	if err != nil {
		return status{}, fmt.Errorf("ledger: cannot ask peer %s: %w", peer, err)
	}
	defer conn.Close()
	return l.introduce(conn, peer, h)
}
