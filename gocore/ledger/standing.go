// Where the ledger stands as this node sees it: committee, leader, age of the last contact. Raft tells it to members
// of the configuration, the watched voter to everyone else.

package ledger

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

type standing struct {
	mu    sync.Mutex
	known committee // the newest heard of
	told  struct {  // by the watched voter
		leader  string
		term    uint64
		contact time.Time // when a leader last spoke to it
	}
	leader  Leader // as last emitted
	server  string // the leader's server
	lost    bool
	began   time.Time
	changed broadcast
}

func (s *standing) committee() committee {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known
}

// leaderServer is "" when unknown.
func (s *standing) leaderServer() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

func (s *standing) touch() { s.changed.wake() }

// learn takes a committee when it is newer than the one known.
func (l *Ledger) learn(c committee) {
	s := &l.standing
	s.mu.Lock()
	newer := c.Index > s.known.Index
	if newer {
		s.known = c
		l.emitCommitteeLocked()
	}
	s.mu.Unlock()
	if newer {
		l.dropOutsiders()
		s.changed.wake()
		l.manage.poke()
		l.observe.poke()
	}
}

func (l *Ledger) emitCommitteeLocked() {
	f := l.stores.getFacts()
	event := Committee{Voters: l.standing.known.voterPeers(), Ledger: f.Ledger, Epoch: f.Epoch}
	if !sameCommittee(event, l.lastCommittee) {
		l.lastCommittee = event
		l.events.emit(event)
	}
}

func sameCommittee(a, b Committee) bool {
	if a.Ledger != b.Ledger || a.Epoch != b.Epoch || len(a.Voters) != len(b.Voters) {
		return false
	}
	for i := range a.Voters {
		if a.Voters[i] != b.Voters[i] {
			return false
		}
	}
	return true
}

// hear takes what a watched or asked node says, received just now.
func (l *Ledger) hear(st status, watched bool) {
	l.learn(st.Committee)
	if !watched {
		return
	}
	s := &l.standing
	s.mu.Lock()
	s.told.leader, s.told.term = st.Leader, st.Term
	if st.AgeMs >= 0 {
		contact := time.Now().Add(-time.Duration(st.AgeMs) * time.Millisecond)
		if contact.After(s.told.contact) {
			s.told.contact = contact
		}
	}
	s.mu.Unlock()
	l.observe.poke()
}

// unwatched: nobody tells any more.
func (l *Ledger) unwatched() {
	l.standing.mu.Lock()
	l.standing.told.leader = ""
	l.standing.mu.Unlock()
	l.observe.poke()
}

// latestServers is Raft's own newest configuration, committed or not; empty for a server that never was a member.
func (l *Ledger) latestServers() []server {
	future := l.raft.Load()
	if future == nil {
		return nil
	}
	return committeeOf(0, future.GetConfiguration().Configuration()).Servers
}

// votes: this server has a vote, as its own log and everything heard of has it.
func (l *Ledger) votes() bool {
	_, voter := committee{Servers: l.latestServers()}.has(l.self)
	if known := l.standing.committee(); voter && known.Index > 0 && !l.leads() {
		// A log that is behind may have missed its own removal, or its promotion be newer than what was heard.
		member, _ := known.has(l.self)
		return member
	}
	return voter
}

// member: this server is in the configuration, with or without a vote.
func (l *Ledger) member() bool {
	if known := l.standing.committee(); known.Index > 0 {
		member, _ := known.has(l.self)
		return member
	}
	member, _ := committee{Servers: l.latestServers()}.has(l.self)
	return member
}

func (l *Ledger) leads() bool {
	r := l.raft.Load()
	return r != nil && r.State() == raft.Leader
}

// sinceStart is how long this ledger has been open.
func (l *Ledger) sinceStart() time.Duration {
	l.standing.mu.Lock()
	defer l.standing.mu.Unlock()
	return time.Since(l.standing.began)
}

// age of the last contact with a leader.
func (l *Ledger) age() (time.Duration, bool) {
	if l.leads() {
		return 0, true
	}
	l.standing.mu.Lock()
	contact := l.standing.told.contact
	l.standing.mu.Unlock()
	if r := l.raft.Load(); r != nil {
		if direct := r.LastContact(); direct.After(contact) {
			contact = direct
		}
	}
	return time.Since(contact), !contact.IsZero()
}

func (l *Ledger) status() status {
	f := l.stores.getFacts()
	st := status{Server: l.self, Ledger: f.Ledger, Epoch: f.Epoch, Recovery: f.Recovery, Committee: l.standing.committee(), AgeMs: -1, Leads: l.leads()}
	l.standing.mu.Lock()
	st.Leader, st.Term = l.standing.server, l.standing.leader.Term
	l.standing.mu.Unlock()
	if st.Leads {
		st.Leader = l.self
	}
	if age, ok := l.age(); ok {
		st.AgeMs = age.Milliseconds()
	}
	st.LastIndex = l.lastIndex()
	st.Seen = l.view.watermark()
	return st
}

// lastIndex of the log. The store knows of an append a moment before Raft says so.
func (l *Ledger) lastIndex() uint64 {
	if r := l.raft.Load(); r != nil {
		return max(r.LastIndex(), l.stores.lastStored.Load())
	}
	return 0
}

// watchStanding follows Raft and the watch, and emits what changed: leader, loss and return of contact.
func (l *Ledger) watchStanding() {
	tick := time.NewTicker(l.cfg.Heartbeat / 4)
	defer tick.Stop()
	for {
		l.refresh()
		select {
		case <-l.observe:
		case seen := <-l.raftSeen:
			switch o := seen.Data.(type) {
			case raft.FailedHeartbeatObservation:
				l.noteHeartbeat(string(o.PeerID), true)
			case raft.ResumedHeartbeatObservation:
				l.noteHeartbeat(string(o.PeerID), false)
			}
		case <-tick.C:
		case <-l.ctx.Done():
			return
		}
	}
}

func (l *Ledger) refresh() {
	r := l.raft.Load()
	leads, term := l.leads(), r.CurrentTerm()
	_, own := r.LeaderWithID()
	member := l.member()
	age, met := l.age()
	s := &l.standing
	s.mu.Lock()
	leader := string(own)
	switch {
	case leads:
		leader = l.self
	case !member:
		leader, term = s.told.leader, s.told.term
	case leader == l.self:
		leader = "" // it was, and has stepped down
	}
	if !met {
		age = time.Since(s.began)
	}
	stale := age > 2*l.cfg.Heartbeat
	if stale && !leads {
		leader = ""
	}
	if leader != "" {
		l.metLeader.Store(true)
	}
	changed := s.server != leader
	now := Leader{Leader: peerOf(leader), Me: leads, Term: term}
	if now.Leader != s.leader.Leader || now.Me != s.leader.Me || now.Leader != "" && now.Term != s.leader.Term {
		changed = true
		l.events.emit(now)
	}
	s.server, s.leader = leader, now
	if stale != s.lost {
		s.lost = stale
		if stale {
			l.events.emit(LedgerLost{AgeMs: age.Milliseconds()})
		} else {
			l.events.emit(LedgerFound{})
		}
	}
	l.emitCommitteeLocked()
	s.mu.Unlock()
	if changed {
		s.changed.wake()
		l.manage.poke()
	}
}
