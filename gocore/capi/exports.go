// Package main is the C interface of p2plib: marshalling only. include/p2plib.h is its documentation; guard.c holds the
// public symbols.
package main

/*
#include "../include/p2plib.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"github.com/vmihailenco/msgpack/v5"

	"pyfl/gocore/p2plib"
)

func main() {}

func milliseconds(n C.int64_t) time.Duration {
	return time.Duration(min(max(n, 0), 1<<40)) * time.Millisecond
}

//export p2pgo_open
func p2pgo_open(config *C.char, size C.size_t, handle *C.int64_t, text *C.char, textSize C.size_t) C.int {
	return report(guarded(func() error {
		json, err := clone(unsafe.Pointer(config), size, 1<<20, "config")
		if err != nil {
			return err
		}
		if handle == nil {
			return fmt.Errorf("%w: node is NULL", p2plib.ErrArgument)
		}
		parsed, err := p2plib.ParseConfig(json)
		if err != nil {
			return err
		}
		node, err := p2plib.Open(parsed)
		if err != nil {
			return err
		}
		*handle = C.int64_t(newHandle(node))
		return nil
	}), text, textSize)
}

//export p2pgo_self
func p2pgo_self(handle C.int64_t, id *C.char, idSize C.size_t, address *C.char, addressSize C.size_t) C.int {
	return with(handle, nil, 0, func(node *p2plib.Node) error {
		self, listens := node.Self()
		copyText(self, id, idSize)
		copyText(listens, address, addressSize)
		return nil
	})
}

//export p2pgo_next_event
func p2pgo_next_event(handle C.int64_t, buffer unsafe.Pointer, size C.size_t, timeout C.int64_t, needed *C.size_t) C.int64_t {
	written := C.int64_t(0)
	code := with(handle, nil, 0, func(node *p2plib.Node) error {
		event, err := node.NextEncoded(int(size), milliseconds(min(timeout, 60_000)))
		if small, ok := err.(*p2plib.SmallError); ok && needed != nil {
			*needed = C.size_t(small.Needed)
		}
		if err != nil || event == nil {
			return err
		}
		written = copyBytes(event, buffer, size, needed)
		return nil
	})
	if code != C.P2P_OK {
		return C.int64_t(code)
	}
	return written
}

//export p2pgo_wake
func p2pgo_wake(handle C.int64_t, payload unsafe.Pointer, size C.size_t, text *C.char, textSize C.size_t) C.int {
	return with(handle, text, textSize, func(node *p2plib.Node) error {
		b, err := clone(payload, size, C.P2P_MAX_MESSAGE, "payload")
		if err != nil {
			return err
		}
		return node.Wake(b)
	})
}

// answer is answered of a handle's node, without a text.
func answer(handle C.int64_t, buffer unsafe.Pointer, size C.size_t, needed *C.size_t, f func(*p2plib.Node) (any, error)) C.int64_t {
	return answered(buffer, size, needed, nil, 0, func() (any, error) {
		node, err := find(handle)
		if err != nil {
			return nil, err
		}
		return f(node)
	})
}

//export p2pgo_peers
func p2pgo_peers(handle C.int64_t, buffer unsafe.Pointer, size C.size_t, needed *C.size_t) C.int64_t {
	return answer(handle, buffer, size, needed, func(node *p2plib.Node) (any, error) { return node.Peers(), nil })
}

//export p2pgo_announce
func p2pgo_announce(handle C.int64_t, meta unsafe.Pointer, size C.size_t, eligible C.int, text *C.char, textSize C.size_t) C.int {
	return with(handle, text, textSize, func(node *p2plib.Node) error {
		b, err := clone(meta, size, 1<<16, "meta")
		if err != nil {
			return err
		}
		return node.Announce(b, eligible != 0)
	})
}

func peerAndTag(peer *C.char, tag unsafe.Pointer, size C.size_t) (string, []byte, error) {
	if peer == nil {
		return "", nil, fmt.Errorf("%w: peer is NULL", p2plib.ErrArgument)
	}
	b, err := clone(tag, size, C.P2P_MAX_TAG, "tag")
	return C.GoString(peer), b, err
}

//export p2pgo_message
func p2pgo_message(handle C.int64_t, peer *C.char, tag unsafe.Pointer, tagSize C.size_t, payload unsafe.Pointer, size C.size_t,
	text *C.char, textSize C.size_t) C.int {
	return with(handle, text, textSize, func(node *p2plib.Node) error {
		id, name, err := peerAndTag(peer, tag, tagSize)
		if err != nil {
			return err
		}
		b, err := view(payload, size) // copied into the frame during the call
		if err != nil {
			return err
		}
		return node.Message(id, name, b)
	})
}

//export p2pgo_post
func p2pgo_post(handle C.int64_t, receive C.int, peer *C.char, tag unsafe.Pointer, tagSize C.size_t, buffer unsafe.Pointer, size C.size_t,
	timeout C.int64_t, transfer *C.int64_t, text *C.char, textSize C.size_t) C.int {
	return with(handle, text, textSize, func(node *p2plib.Node) error {
		id, name, err := peerAndTag(peer, tag, tagSize)
		if err != nil {
			return err
		}
		b, err := view(buffer, size)
		if err != nil {
			return err
		}
		if transfer == nil {
			return fmt.Errorf("%w: transfer is NULL", p2plib.ErrArgument)
		}
		post := node.Send
		if receive != 0 {
			post = node.Receive
		}
		number, err := post(id, name, b, milliseconds(timeout))
		*transfer = C.int64_t(number)
		return err
	})
}

//export p2pgo_cancel
func p2pgo_cancel(handle C.int64_t, transfer C.int64_t, text *C.char, textSize C.size_t) C.int {
	return with(handle, text, textSize, func(node *p2plib.Node) error { return node.Cancel(int64(transfer)) })
}

// operation is an op of p2p_write as the caller encodes it.
type operation struct {
	Key     string `msgpack:"key"`
	Version uint64 `msgpack:"version"`
	Value   []byte `msgpack:"value"`
}

//export p2pgo_write
func p2pgo_write(handle C.int64_t, ops unsafe.Pointer, size C.size_t, request *C.int64_t, text *C.char, textSize C.size_t) C.int {
	return with(handle, text, textSize, func(node *p2plib.Node) error {
		b, err := view(ops, size)
		if err != nil {
			return err
		}
		if request == nil {
			return fmt.Errorf("%w: request is NULL", p2plib.ErrArgument)
		}
		var decoded []operation
		if err := msgpack.Unmarshal(b, &decoded); err != nil {
			return fmt.Errorf("%w: ops: %w", p2plib.ErrArgument, err)
		}
		writes := make([]p2plib.Op, 0, len(decoded))
		for _, op := range decoded {
			writes = append(writes, p2plib.Op{Key: op.Key, Version: op.Version, Value: op.Value})
		}
		number, err := node.Write(writes)
		*request = C.int64_t(number)
		return err
	})
}

//export p2pgo_barrier
func p2pgo_barrier(handle C.int64_t, request *C.int64_t, text *C.char, textSize C.size_t) C.int {
	return with(handle, text, textSize, func(node *p2plib.Node) error {
		if request == nil {
			return fmt.Errorf("%w: request is NULL", p2plib.ErrArgument)
		}
		number, err := node.Barrier()
		*request = C.int64_t(number)
		return err
	})
}

//export p2pgo_read
func p2pgo_read(handle C.int64_t, key *C.char, buffer unsafe.Pointer, size C.size_t, needed *C.size_t) C.int64_t {
	return answer(handle, buffer, size, needed, func(node *p2plib.Node) (any, error) {
		if key == nil {
			return nil, fmt.Errorf("%w: key is NULL", p2plib.ErrArgument)
		}
		if record, ok := node.Read(C.GoString(key)); ok {
			return record, nil
		}
		return nil, nil
	})
}

//export p2pgo_yield
func p2pgo_yield(handle C.int64_t, text *C.char, textSize C.size_t) C.int {
	return with(handle, text, textSize, func(node *p2plib.Node) error { return node.Yield() })
}

//export p2pgo_stats
func p2pgo_stats(handle C.int64_t, buffer unsafe.Pointer, size C.size_t, needed *C.size_t) C.int64_t {
	return answer(handle, buffer, size, needed, func(node *p2plib.Node) (any, error) { return node.Stats(), nil })
}

//export p2pgo_leave
func p2pgo_leave(handle C.int64_t, timeout C.int64_t, text *C.char, textSize C.size_t) C.int {
	return with(handle, text, textSize, func(node *p2plib.Node) error { return node.Leave(milliseconds(timeout)) })
}

//export p2pgo_close
func p2pgo_close(handle C.int64_t) C.int {
	return with(handle, nil, 0, func(node *p2plib.Node) error {
		node.Close()
		return nil
	})
}

//export p2pgo_free
func p2pgo_free(handle C.int64_t) C.int {
	return report(guarded(func() error {
		node := drop(int64(handle))
		if node == nil {
			return errHandle
		}
		node.Close() // closed already, unless the caller skipped it
		return nil
	}), nil, 0)
}

//export p2pgo_debug
func p2pgo_debug(open *C.int64_t, goroutines *C.int64_t) C.int {
	if open != nil {
		*open = C.int64_t(openHandles())
	}
	if goroutines != nil {
		*goroutines = C.int64_t(runtime.NumGoroutine())
	}
	return C.P2P_OK
}
