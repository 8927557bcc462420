// Handles: small integers for nodes, never reused.

package main

import (
	"sync"

	"pyfl/gocore/p2plib"
)

var handles = struct {
	sync.RWMutex
	next  int64
	nodes map[int64]*p2plib.Node
}{nodes: map[int64]*p2plib.Node{}}

func newHandle(node *p2plib.Node) int64 {
	handles.Lock()
	defer handles.Unlock()
	handles.next++
	handles.nodes[handles.next] = node
	return handles.next
}

func nodeOf(handle int64) *p2plib.Node {
	handles.RLock()
	defer handles.RUnlock()
	return handles.nodes[handle]
}

// drop forgets a handle and returns its node; nil when there was none.
func drop(handle int64) *p2plib.Node {
	handles.Lock()
	defer handles.Unlock()
	node := handles.nodes[handle]
	delete(handles.nodes, handle)
	return node
}

func openHandles() int {
	handles.RLock()
	defer handles.RUnlock()
	return len(handles.nodes)
}
