package main

import (
	"strings"
	"testing"

	"pyfl/gocore/p2plib"
)

func TestHandlesAreForgottenAndNeverReused(t *testing.T) {
	config := p2plib.Defaults()
	config.Listen, config.SwarmKey = "127.0.0.1:0", strings.Repeat("5a", 32)
	var used []int64
	for range 3 {
		node, err := p2plib.Open(config)
		if err != nil {
			t.Fatal(err)
		}
		handle := newHandle(node)
		for _, other := range used {
			if other == handle {
				t.Fatalf("handle %d came twice", handle)
			}
		}
		used = append(used, handle)
		if nodeOf(handle) != node {
			t.Fatal("a handle led to another node")
		}
		drop(handle).Close()
		if nodeOf(handle) != nil || drop(handle) != nil {
			t.Fatal("a freed handle still leads somewhere")
		}
	}
	if n := openHandles(); n != 0 {
		t.Fatalf("%d handles are open at the end", n)
	}
}

func TestAPanicBecomesAnErrorWithItsStack(t *testing.T) {
	err := guarded(func() error { panic("oops") })
	if err == nil || !strings.Contains(err.Error(), "oops") || !strings.Contains(err.Error(), "handles_test.go") {
		t.Fatalf("got %v", err)
	}
}
