// Per-socket congestion control, where there is none.

//go:build !linux

package transport

import "syscall"

func congestionControl(string) func(network, address string, raw syscall.RawConn) error { return nil }
