// A leader whose reader has stopped reading hands leadership over: its coordinator stands still, and the swarm with it.

package p2plib

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// inattentive is how long nobody may have asked for an event before leadership is given away. A reader asks at
// least every half second; training that saturates the cores delays it by a second or two.
const inattentive = 10 * time.Second

// attention notes when a reader last waited for an event; nothing before the first time.
type attention struct {
	waiting atomic.Int32
	last    atomic.Int64
}

// pay is called when a reader begins to wait; what it returns, when it ends.
func (a *attention) pay() func() {
	a.waiting.Add(1)
	return func() {
		a.last.Store(time.Now().UnixNano())
		a.waiting.Add(-1)
	}
}

func (a *attention) lapsed(limit time.Duration) bool {
	last := a.last.Load()
	return a.waiting.Load() == 0 && last != 0 && time.Since(time.Unix(0, last)) > limit
}

// watchAttention gives leadership away while nobody reads, once in every limit.
func (n *Node) watchAttention(limit time.Duration) {
	tick := time.NewTicker(limit / 10)
	defer tick.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-tick.C:
		}
		if !n.attention.lapsed(limit) {
			continue
		}
		switch err := n.Yield(); {
		case err == nil:
			n.fault("attention", fmt.Errorf("nobody has read events for %v: leadership was handed over", limit))
		case !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrClosed):
			n.fault("attention", err)
		}
		n.attention.pay()()
	}
}
