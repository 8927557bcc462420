// What Linux lets one set and see of a socket: congestion control, and whether the other machine answers.

package transport

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

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

// unanswered: bytes are under way, were repeated, and nothing has been acknowledged for silenceLimit.
func unanswered(conn *net.TCPConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	silent := false
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		silent = err == nil && info.Unacked > 0 && info.Retransmits >= silenceTries &&
			time.Duration(info.Last_ack_recv)*time.Millisecond >= silenceLimit
	})
	return silent
}
