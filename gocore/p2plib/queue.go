// The event queue: first in, first out, and bounded without losing anything that matters.
//
// Messages hold their connections back; what is superseded by newer news (records, updates, the leader) is replaced
// where it waits; faults beyond a limit are counted only. Everything else is bounded by what its reader has outstanding.

package p2plib

import (
	"sync"
	"time"
)

const (
	maxFaults = 256
	maxWakes  = 1 << 16
)

type slot struct {
	event   Event
	encoded []byte // kept from a read whose buffer was too small
}

type queue struct {
	inbox int
	ready chan struct{} // holds one token while there may be something to read
	gone  chan struct{} // closed by close

	mu       sync.Mutex
	space    *sync.Cond // of mu: messages fell below inbox, or shut
	slots    []*slot
	latest   map[any]*slot // by what the event is the newest of
	messages int
	faults   int
	wakes    int
	shut     bool // no more messages
	closed   bool
}

func newQueue(inbox int) *queue {
	q := &queue{inbox: inbox, ready: make(chan struct{}, 1), gone: make(chan struct{}), latest: map[any]*slot{}}
	q.space = sync.NewCond(&q.mu)
	return q
}

// newestOf names what an event is the newest of; nil when each counts.
func newestOf(event Event) any {
	switch e := event.(type) {
	case Record:
		return "record " + e.Key
	case PeerUpdate:
		return "update " + e.Peer
	case Committee:
		return "committee"
	}
	return nil
}

// push adds an event and never blocks; false when it was dropped.
func (q *queue) push(event Event) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	switch event.(type) {
	case Fault:
		if q.faults >= maxFaults {
			return false
		}
		q.faults++
	case Wake:
		if q.wakes >= maxWakes {
			return false
		}
		q.wakes++
	}
	q.add(event)
	return true
}

func (q *queue) add(event Event) {
	key := newestOf(event)
	if key != nil {
		if waiting := q.latest[key]; waiting != nil {
			waiting.event, waiting.encoded = event, nil
			return
		}
	}
	s := &slot{event: event}
	if key != nil {
		q.latest[key] = s
	}
	switch e := event.(type) {
	case PeerUp:
		delete(q.latest, "update "+e.Peer) // an update that waits is about its former life
	case PeerDown:
		delete(q.latest, "update "+e.Peer)
	}
	q.slots = append(q.slots, s)
	q.signal()
}

// deliver adds a message; it blocks while the inbox is full, and is false once the queue takes no more.
func (q *queue) deliver(message Message) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.messages >= q.inbox && !q.shut {
		q.space.Wait()
	}
	if q.shut {
		return false
	}
	q.messages++
	q.add(message)
	return true
}

func (q *queue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take waits for the next slot; nil when the time is over. ErrClosed once closed and drained.
func (q *queue) take(timeout time.Duration) (*slot, error) {
	var timer <-chan time.Time
	for {
		q.mu.Lock()
		if len(q.slots) > 0 {
			s := q.slots[0]
			q.slots[0] = nil
			q.slots = q.slots[1:]
			q.removed(s)
			if len(q.slots) > 0 {
				q.signal() // for other readers
			} else {
				q.slots = nil
			}
			q.mu.Unlock()
			return s, nil
		}
		closed := q.closed
		q.mu.Unlock()
		if closed {
			return nil, ErrClosed
		}
		if timeout <= 0 {
			return nil, nil
		}
		if timer == nil {
			t := time.NewTimer(timeout)
			defer t.Stop()
			timer = t.C
		}
		select {
		case <-q.ready:
		case <-q.gone:
		case <-timer:
			return nil, nil
		}
	}
}

func (q *queue) removed(s *slot) {
	if key := newestOf(s.event); key != nil && q.latest[key] == s {
		delete(q.latest, key)
	}
	switch s.event.(type) {
	case Message:
		q.messages--
		q.space.Signal()
	case Fault:
		q.faults--
	case Wake:
		q.wakes--
	}
}

// putBack returns a slot to the front; for a reader whose buffer was too small.
func (q *queue) putBack(s *slot) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch s.event.(type) {
	case Message:
		q.messages++
	case Fault:
		q.faults++
	case Wake:
		q.wakes++
	}
	q.slots = append([]*slot{s}, q.slots...)
	q.signal()
}

func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.slots)
}

// stopMessages ends every deliver that blocks, and refuses more.
func (q *queue) stopMessages() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.shut = true
	q.space.Broadcast()
}

// close wakes every reader; what is queued can still be taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed, q.shut = true, true
		close(q.gone)
		q.space.Broadcast()
	}
}
