// Elections without waiting for a timeout: after bootstrap, after a restart of everyone, and when the leader is known
// to be dead. The voters call themselves, one after another by rank, through Raft's TimeoutNow.

package ledger

import (
	"time"

	"github.com/hashicorp/raft"
)

// rankDelay lies between two voters' calls: long enough for a vote on loaded machines.
const rankDelay = 400 * time.Millisecond

// PeerDown: a member went. confirmed: it refused a new dial; left: it said goodbye. Live no longer lists it.
func (l *Ledger) PeerDown(peer PeerID, confirmed, left bool) {
	if confirmed || left {
		l.roster.mu.Lock()
		l.roster.down[peer] = true
		l.roster.mu.Unlock()
		// Without a leader too: a voter of a lower rank may have asked for our vote already, which makes us forget it.
		_, leader := l.raft.Load().LeaderWithID()
		for _, id := range (committee{Servers: l.latestServers()}).voters() {
			if peerOf(id) == peer && peer != l.cfg.Self && (leader == "" || string(leader) == id) {
				l.campaign(id)
			}
		}
	}
	l.manage.poke()
	l.standing.touch()
}

// campaign calls this server to an election when its rank's turn comes, unless there is a leader by then other than
// the dead one.
func (l *Ledger) campaign(dead string) {
	rank, found := 0, false
	voters := committee{Servers: l.latestServers()}.voters()
	if dead != "" && len(voters)-1 <= len(voters)/2 {
		return // as this log has it nobody could win: a candidacy would only cost another's vote of that term
	}
	for _, id := range voters {
		if id == l.self {
			found = true
			break
		}
		if id != dead {
			rank++
		}
	}
	if !found || !l.votes() || !l.campaigning.CompareAndSwap(false, true) {
		return
	}
	started := l.spawn("campaign", func() {
		defer l.campaigning.Store(false)
		if rank > 0 && !l.sleep(time.Duration(rank)*rankDelay) {
			return
		}
		r := l.raft.Load()
		if _, leader := r.LeaderWithID(); r.State() == raft.Leader || leader != "" && string(leader) != dead {
			return
		}
		if err := l.callSelf(); err != nil {
			l.log.Warn("could not call an election; the election timeout will", "error", err)
		}
		l.sleep(rankDelay) // a second call meanwhile would depose the leader that the first one made
	})
	if !started {
		l.campaigning.Store(false)
	}
}

// sleep waits; false when the ledger closes.
func (l *Ledger) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// callSelf makes this server a candidate at once.
func (l *Ledger) callSelf() error {
	id, addr := raft.ServerID(l.self), raft.ServerAddress(l.self)
	call := raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(id), Addr: []byte(addr)}}
	return l.transport.TimeoutNow(id, addr, &call, &raft.TimeoutNowResponse{})
}

// noteStatus counts voters that know no leader, when none has been met since the start: once they are a majority
// there is none, and nobody need wait for a timeout to say so.
func (l *Ledger) noteStatus(st status) {
	if l.metLeader.Load() || !l.votes() {
		return
	}
	l.roster.mu.Lock()
	if st.Leader == "" {
		l.leaderless[st.Server] = time.Now()
	} else {
		delete(l.leaderless, st.Server)
	}
	voters := committee{Servers: l.latestServers()}.voters()
	count := 0
	for _, id := range voters {
		if at, ok := l.leaderless[id]; id == l.self || ok && time.Since(at) < l.cfg.Heartbeat {
			count++
		}
	}
	l.roster.mu.Unlock()
	if count > len(voters)/2 {
		l.campaign("")
	}
}
