// Codes and texts of errors, and how a panic becomes one.

package main

/*
#include "../include/p2plib.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime/debug"
	"unsafe"

	"github.com/vmihailenco/msgpack/v5"

	"pyfl/gocore/p2plib"
)

var (
	errHandle = errors.New("no such node: it was never opened, or was freed")
	errPanic  = errors.New("a defect in p2plib; please report it with this text")
)

func codeOf(err error) C.int {
	var small *p2plib.SmallError
	switch {
	case err == nil:
		return C.P2P_OK
	case errors.As(err, &small):
		return C.P2P_ERR_SMALL
	}
	for _, pair := range []struct {
		err  error
		code C.int
	}{
		{errHandle, C.P2P_ERR_HANDLE},
		{p2plib.ErrClosed, C.P2P_ERR_CLOSED},
		{p2plib.ErrConfig, C.P2P_ERR_CONFIG},
		{p2plib.ErrAddressInUse, C.P2P_ERR_ADDRESS_IN_USE},
		{p2plib.ErrNoPeer, C.P2P_ERR_NO_PEER},
		{p2plib.ErrArgument, C.P2P_ERR_ARGUMENT},
		{p2plib.ErrFull, C.P2P_ERR_FULL},
		{p2plib.ErrNoTransfer, C.P2P_ERR_NO_TRANSFER},
		{p2plib.ErrNotLeader, C.P2P_ERR_NOT_LEADER},
		{p2plib.ErrTimeout, C.P2P_ERR_TIMEOUT},
		{p2plib.ErrRunning, C.P2P_ERR_RUNNING},
		{p2plib.ErrNoLedger, C.P2P_ERR_NO_LEDGER},
	} {
		if errors.Is(err, pair.err) {
			return pair.code
		}
	}
	return C.P2P_ERR_INTERNAL
}

// guarded runs f; a panic in it becomes an error with the stack.
func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: panic: %v\n%s", errPanic, r, debug.Stack())
		}
	}()
	return f()
}

func find(handle C.int64_t) (*p2plib.Node, error) {
	if node := nodeOf(int64(handle)); node != nil {
		return node, nil
	}
	return nil, errHandle
}

// with runs f on a handle's node and reports its error into the caller's buffer.
func with(handle C.int64_t, text *C.char, size C.size_t, f func(*p2plib.Node) error) C.int {
	err := guarded(func() error {
		node, err := find(handle)
		if err != nil {
			return err
		}
		return f(node)
	})
	return report(err, text, size)
}

// answered gives f's answer in MessagePack, nil as 0 bytes; or its error's code and text.
func answered(buffer unsafe.Pointer, size C.size_t, needed *C.size_t, text *C.char, textSize C.size_t, f func() (any, error)) C.int64_t {
	written := C.int64_t(0)
	code := report(guarded(func() error {
		value, err := f()
		if err != nil || value == nil {
			return err
		}
		data, err := msgpack.Marshal(value)
		if err != nil {
			return err
		}
		written = copyBytes(data, buffer, size, needed)
		return nil
	}), text, textSize)
	if code != C.P2P_OK {
		return C.int64_t(code)
	}
	return written
}

func report(err error, text *C.char, size C.size_t) C.int {
	if err != nil {
		copyText(err.Error(), text, size)
	}
	return codeOf(err)
}

// copyText copies a text with its NUL, cut to fit.
func copyText(s string, text *C.char, size C.size_t) {
	if text == nil || size == 0 {
		return
	}
	into := unsafe.Slice((*byte)(unsafe.Pointer(text)), size)
	n := copy(into[:size-1], s)
	into[n] = 0
}

// copyBytes copies an answer into the caller's buffer; SMALL with *needed when it does not fit.
func copyBytes(data []byte, buffer unsafe.Pointer, size C.size_t, needed *C.size_t) C.int64_t {
	if needed != nil {
		*needed = C.size_t(len(data))
	}
	if len(data) > int(size) || buffer == nil && len(data) > 0 {
		return C.P2P_ERR_SMALL
	}
	copy(unsafe.Slice((*byte)(buffer), size), data)
	return C.int64_t(len(data))
}

// view is the caller's memory, without a copy.
func view(pointer unsafe.Pointer, size C.size_t) ([]byte, error) {
	if size == 0 {
		return []byte{}, nil
	}
	if pointer == nil || size > 1<<47 {
		return nil, fmt.Errorf("%w: a buffer of %d bytes at %p", p2plib.ErrArgument, uint64(size), pointer)
	}
	return unsafe.Slice((*byte)(pointer), size), nil
}

func clone(pointer unsafe.Pointer, size, limit C.size_t, what string) ([]byte, error) {
	if size > limit {
		return nil, fmt.Errorf("%w: %s of %d bytes, at most %d", p2plib.ErrArgument, what, uint64(size), uint64(limit))
	}
	b, err := view(pointer, size)
	return append([]byte{}, b...), err
}
