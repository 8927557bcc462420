// What is known of the way to each peer: straight or around, and when the straight one is tried again.

package relay

import (
	"context"
	"time"

	"pyfl/gocore/transport"
)

const (
	maxLinks    = 4096
	firstRetry  = 2 * time.Second
	longRetry   = 30 * time.Second
	healLook    = time.Second
	healDial    = time.Second
	settled     = time.Minute // a straight way that held so long may be retried soon again when it breaks
	barrenPause = 2 * time.Second
)

// link is the way to one peer at one address. R.mu guards it.
type link struct {
	addr   string
	met    bool   // a straight connection got there
	via    PeerID // who passes connections on; "" straight
	retry  time.Time
	pause  time.Duration
	trying bool
	healed time.Time
	barren time.Time // until then nobody is asked for a way: nobody had one
}

// known is what there is of the way to the peer at this address; the zero link when that is nothing.
func (r *R) known(peer PeerID, addr string) link {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.links[peer]; l != nil && l.addr == addr {
		return *l
	}
	return link{}
}

// linkOf is the link to change, a new one where none is known. It runs under the lock.
func (r *R) linkOf(peer PeerID, addr string) *link {
	l := r.links[peer]
	if l != nil && l.addr == addr {
		return l
	}
	if l == nil && len(r.links) >= maxLinks {
		for other := range r.links {
			if _, _, ok := r.config.Resolve(other); !ok {
				delete(r.links, other)
			}
		}
	}
	l = &link{addr: addr}
	r.links[peer] = l
	return l
}

// Bent says whether the peer is reached around.
func (r *R) Bent(peer PeerID, addr string) bool { return r.known(peer, addr).via != "" }

// Met says whether a straight connection ever got to this address of the peer.
func (r *R) Met(peer PeerID, addr string) bool { return r.known(peer, addr).met }

// Straight: a straight connection got there.
func (r *R) Straight(peer PeerID, addr string) {
	r.mu.Lock()
	l := r.linkOf(peer, addr)
	l.met = true
	changed := l.via != ""
	if changed {
		l.via, l.healed = "", time.Now()
	}
	r.mu.Unlock()
	if changed {
		r.config.Changed(peer, "")
	}
}

// bend notes that the peer is reached by via.
func (r *R) bend(peer PeerID, addr string, via PeerID) {
	r.mu.Lock()
	l := r.linkOf(peer, addr)
	changed := l.via != via
	if l.via == "" {
		if time.Since(l.healed) > settled || l.pause == 0 {
			l.pause = firstRetry
		}
		l.retry = time.Now().Add(l.pause)
	}
	l.via, l.barren = via, time.Time{}
	r.mu.Unlock()
	if changed {
		r.config.Changed(peer, via)
	}
}

// isBarren says whether nobody had a way a moment ago.
func (r *R) isBarren(peer PeerID, addr string) bool {
	return time.Now().Before(r.known(peer, addr).barren)
}

func (r *R) setBarren(peer PeerID, addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.linkOf(peer, addr).barren = time.Now().Add(barrenPause)
}

// Via is who passes connections to the peer on; "" when they go straight.
func (r *R) Via(peer PeerID) PeerID {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.links[peer]; l != nil {
		return l.via
	}
	return ""
}

// healLoop tries the straight way again from time to time.
func (r *R) healLoop() {
	tick := time.NewTicker(healLook)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			return
		}
		r.mu.Lock()
		for peer, l := range r.links {
			if l.via != "" && !l.trying && !r.closed && time.Now().After(l.retry) {
				l.trying = true
				r.running.Go("relay.retry", func() { r.retry(peer, l) })
			}
		}
		r.mu.Unlock()
	}
}

// retry dials straight and says nothing, as membership's probes do.
func (r *R) retry(peer PeerID, l *link) {
	ctx, cancel := context.WithTimeout(r.ctx, healDial)
	defer cancel()
	conn, err := r.config.Transport.DialStraight(ctx, l.addr, transport.Member, peer)
	if err == nil {
		_ = conn.Close()
	}
	r.mu.Lock()
	l.trying = false
	l.pause = min(2*l.pause, longRetry)
	l.retry = time.Now().Add(l.pause)
	r.mu.Unlock()
	if err == nil {
		r.Straight(peer, l.addr)
	}
}
