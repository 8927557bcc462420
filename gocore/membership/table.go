// The table decides what is reported of each peer. It is pure: evidence in, events and probes out.

package membership

import (
	"pyfl/gocore/transport"
)

// Events, in the order in which they happened.
type (
	// Up: a member appeared.
	Up struct{ Member Member }
	// Update: it announced something new.
	Update struct {
		Member Member
		From   string // its address until now, if that changed
	}
	// Down: it went. Reason is ReasonLeft, ReasonRefused or ReasonGossip; the last alone is a hint, not Confirmed.
	Down struct {
		Peer      PeerID
		Reason    string
		Confirmed bool
		Life      transport.Life
	}
	// LinkDown: a connection broke, but the peer answered a new dial, or that dial timed out.
	LinkDown struct{ Peer PeerID }
	// Joined: the first join succeeded.
	Joined struct{ Address string }
	// JoinFailed: nothing could be joined within the join timeout.
	JoinFailed struct{ Failures []Failure }
	// Failure is why one address could not be joined. Refused: it answered, and the certificates did not match.
	Failure struct {
		Address string
		Error   string
		Refused bool
	}
)

// Reasons of Down.
const (
	ReasonLeft    = "left"
	ReasonRefused = "refused"
	ReasonGossip  = "gossip"
)

// outcome of a probe: a direct dial.
type outcome int

const (
	answered outcome = iota // by the life that is named
	refused                 // nobody, or somebody else, is there
	silent                  // no answer in time, or none that tells
)

// entry is one peer. A life that is over stays over: only a new life, or for a refused one an answered probe, brings
// the peer back, whatever gossip still says of the old one.
type entry struct {
	member  Member
	up      bool // reported up
	over    bool // member.Life has ended
	left    bool // ... by its own goodbye
	probing bool
	again   bool // more evidence came while probing
	link    bool // a broken connection waits for the probe's answer
}

type table struct {
	entries map[PeerID]*entry
	emit    func(any)           // takes the events
	probe   func(member Member) // starts a probe; its result comes back through probed
}

// alive: gossip says that the peer is alive, as described.
func (t *table) alive(m Member) {
	e := t.entries[m.ID]
	if e == nil {
		t.prune()
		e = &entry{member: m}
		t.entries[m.ID] = e
	} else if e.member.Life != m.Life {
		if e.up || !e.over {
			t.end(e, ReasonRefused) // it restarted: what was sent to its former life is lost
		}
		e.over, e.left = false, false
	}
	known := e.member
	e.member = m
	switch {
	case e.over && e.left:
		// stale gossip about a peer that said goodbye
	case e.over:
		t.startProbe(e)
	case !e.up:
		e.up = true
		t.emit(Up{m})
	case !known.equal(m):
		update := Update{Member: m}
		if known.Addr != m.Addr {
			update.From = known.Addr
		}
		t.emit(update)
	}
}

// maxEntries bounds the memory of peers that are no longer there.
const maxEntries = 4096

func (t *table) prune() {
	if len(t.entries) < maxEntries {
		return
	}
	for id, e := range t.entries {
		if !e.up && !e.probing {
			delete(t.entries, id)
		}
	}
}

// dead: gossip has given the peer up. It is a hint, so it is looked at directly.
func (t *table) dead(id PeerID) {
	e := t.entries[id]
	if e == nil || !e.up {
		return
	}
	e.up = false
	t.emit(Down{Peer: id, Reason: ReasonGossip, Life: e.member.Life})
	t.startProbe(e)
}

// goodbye: the peer itself said that it leaves.
func (t *table) goodbye(id PeerID, life transport.Life) {
	e := t.entries[id]
	if e == nil || e.member.Life != life {
		return
	}
	if e.over { // found dead before its goodbye was read
		e.left = true
		return
	}
	t.end(e, ReasonLeft)
}

// broken: a connection with the peer ended without a goodbye.
func (t *table) broken(id PeerID) {
	e := t.entries[id]
	if e == nil || e.over {
		return
	}
	e.link = true
	t.startProbe(e)
}

// seen: the peer has made a new connection.
func (t *table) seen(id PeerID, life transport.Life) {
	e := t.entries[id]
	if e == nil || e.up || e.member.Life != life || e.over && e.left {
		return
	}
	t.startProbe(e)
}

func (t *table) startProbe(e *entry) {
	if e.probing {
		e.again = true
		return
	}
	e.probing = true
	t.probe(e.member)
}

// probed: a probe of the member as it was then has ended. life is who answered.
func (t *table) probed(m Member, result outcome, life transport.Life) {
	e := t.entries[m.ID]
	if e == nil {
		return
	}
	link, again := e.link, e.again
	e.probing, e.again, e.link = false, false, false
	if e.member.Life != m.Life || e.over && e.left {
		return // overtaken by better news
	}
	switch {
	case result == refused, result == answered && life != m.Life:
		if !e.over {
			t.end(e, ReasonRefused)
		}
		return
	case result == answered && !e.up:
		e.up, e.over = true, false
		t.emit(Up{e.member})
	case link && e.up:
		t.emit(LinkDown{m.ID})
	}
	if again {
		e.link = link
		t.startProbe(e)
	}
}

// end closes a life for good.
func (t *table) end(e *entry, reason string) {
	e.up, e.over, e.left = false, true, reason == ReasonLeft
	t.emit(Down{Peer: e.member.ID, Reason: reason, Confirmed: true, Life: e.member.Life})
}
