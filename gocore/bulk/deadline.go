// Deadlines: every transfer that stands still for too long ends.

package bulk

import "time"

const sweepInterval = 100 * time.Millisecond

// sweepLoop sleeps while nothing is posted.
func (p *Plane) sweepLoop() {
	for {
		select {
		case <-p.active:
		case <-p.ctx.Done():
			return
		}
		ticker := time.NewTicker(sweepInterval)
		for more := true; more; {
			select {
			case now := <-ticker.C:
				more = p.sweep(now)
			case <-p.ctx.Done():
				more = false
			}
		}
		ticker.Stop()
	}
}

func (p *Plane) sweep(now time.Time) (more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.transfers {
		limit := t.timeout
		if t.moving() && (limit == 0 || p.config.Progress < limit) {
			limit = p.config.Progress
		}
		if limit > 0 && now.Sub(t.progress) > limit {
			p.finish(t, reasonTimeout)
		}
	}
	return len(p.transfers) > 0
}

// moving says whether bytes of the transfer are under way.
func (t *transfer) moving() bool {
	if t.receive {
		return t.conn != nil
	}
	return t.attempt != nil && t.attempt.started
}
