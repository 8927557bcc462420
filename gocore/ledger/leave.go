// Going in good order: leadership handed over, the vote given to someone else.

package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Yield (leader only) hands leadership to another voter; it returns when that happened or failed.
func (l *Ledger) Yield() error {
	if !l.leads() {
		return ErrNotLeader
	}
	err, ended := l.await(l.raft.Load().LeadershipTransfer(), time.Now().Add(l.ioTimeout()))
	if !ended {
		return errors.New("ledger: no voter took the leadership over in time; this node still leads")
	}
	if err != nil {
		return fmt.Errorf("ledger: leadership was not handed over, this node still leads: %w", err)
	}
	return nil
}

// Leave hands over leadership and gets this node replaced or removed as a voter, for at most timeout.
// An error says that it is still a voter; closing then counts as a death.
func (l *Ledger) Leave(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(l.ctx, timeout)
	defer cancel()
	l.leaving.Store(true)
	asked := ""
	for {
		changed := l.standing.changed.wait()
		if !l.member() && !l.leads() {
			return nil
		}
		if l.alone() {
			return nil
		}
		leader := l.standing.leaderServer()
		switch {
		case l.leads():
			l.manage.poke()
			asked = ""
		case leader != "" && leader != asked && leader != l.self:
			st, err := l.question(peerOf(leader), hello{Kind: kindLeave}, l.ioTimeout())
			if err == nil && st.Leads {
				asked = leader
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("ledger: still a voter after %v: no other peer could take its place (%w)", timeout, ctx.Err())
		}
		limit := l.cfg.Heartbeat / 8
		if deadline, ok := ctx.Deadline(); ok {
			limit = max(time.Millisecond, min(limit, time.Until(deadline)))
		}
		l.pause(changed, limit)
	}
}

// alone: there is nobody to leave the ledger to.
func (l *Ledger) alone() bool {
	for _, m := range l.cfg.Live() {
		if m.ID != l.cfg.Self {
			return false
		}
	}
	return true
}
