// Per-socket congestion control, on Linux.

package transport

import "syscall"

// congestionControl tries to set the algorithm before a socket connects or listens. Choosing one that
// the administrator has not allowed needs privilege, so a refusal is ignored: it costs speed, not correctness.
func congestionControl(name string) func(network, address string, raw syscall.RawConn) error {
	if name == "" {
		return nil
	}
	return func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			_ = syscall.SetsockoptString(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CONGESTION, name)
		})
	}
}
