// Package goroutines starts goroutines that are waited for, and whose panic becomes a fault instead of the end of the process.
package goroutines

import (
	"fmt"
	"runtime/debug"
	"sync"
)

// Group is a set of goroutines that one owner starts and waits for; made by Told.
type Group struct {
	running sync.WaitGroup
	fault   func(where string, err error)
}

// Told returns a group that tells fault of every panic; fault may be called by any goroutine.
func Told(fault func(where string, err error)) *Group { return &Group{fault: fault} }

// Go runs f in a goroutine. The owner sees to it that none is started while Wait waits for the last.
func (g *Group) Go(where string, f func()) {
	g.running.Go(func() {
		defer func() {
			if r := recover(); r != nil {
				g.fault(where, fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
			}
		}()
		f()
	})
}

// Wait returns when every goroutine has ended.
func (g *Group) Wait() { g.running.Wait() }
