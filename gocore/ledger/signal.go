// Two ways to wake a goroutine, and the one way to hand an event to the owner.

package ledger

import "sync"

// broadcast wakes everyone who waits: take wait() before looking at the state, then select on it.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// poke wakes one goroutine; pokes while it works become one.
type poke chan struct{}

func newPoke() poke { return make(chan struct{}, 1) }

func (p poke) poke() {
	select {
	case p <- struct{}{}:
	default:
	}
}

// emitter hands events to the owner one at a time, and none once closed.
type emitter struct {
	mu     sync.Mutex
	sink   func(any)
	closed bool
}

func (e *emitter) emit(event any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.sink(event)
	}
}

func (e *emitter) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
}
