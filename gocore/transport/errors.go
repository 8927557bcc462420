// What a dial can end in, told apart so that callers can tell the user what to do.

package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
)

// ErrClosed is returned by every call on a closed transport.
var ErrClosed = errors.New("the transport is closed")

// RefusedError: the address answered TLS, and one side did not accept the other's certificate.
type RefusedError struct {
	Addr string
	Err  error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s refused by TLS: %v; check that both have the same swarm key", e.Addr, e.Err)
}
func (e *RefusedError) Unwrap() error { return e.Err }

// WrongPeerError: a member answered, but not the one that was expected there.
type WrongPeerError struct {
	Addr      string
	Want, Got PeerID
}

func (e *WrongPeerError) Error() string {
	return fmt.Sprintf("%s is peer %s, expected %s", e.Addr, e.Got, e.Want)
}

// PlaneError: a member answered, but does not serve this plane (yet, or any more).
type PlaneError struct {
	Addr  string
	Plane Plane
}

func (e *PlaneError) Error() string {
	return fmt.Sprintf("%s does not serve %s now", e.Addr, e.Plane)
}

// Refused says whether a failed dial shows that the member there is none of ours: another swarm, or a version that does not
// understand this one's.
func Refused(err error) bool {
	var key *RefusedError
	var version *VersionError
	var swarm *OtherSwarmError
	return errors.As(err, &key) || errors.As(err, &version) || errors.As(err, &swarm)
}

// GoneError: who was asked to pass a connection on found nobody, or somebody else, at the peer's address.
type GoneError struct {
	Peer PeerID
	Addr string
	Via  PeerID
}

func (e *GoneError) Error() string {
	return fmt.Sprintf("peer %s is not at %s any more, as %s finds", e.Peer, e.Addr, e.Via)
}

// errChain: a connection that is passed on may not carry one to be passed on.
var errChain = errors.New("the relay plane was asked for through a relay")

// Gone says whether a failed dial shows that the peer's process is not there: nobody listens on its address, or
// somebody else does.
func Gone(err error) bool {
	var wrong *WrongPeerError
	var gone *GoneError
	return errors.Is(err, syscall.ECONNREFUSED) || errors.As(err, &wrong) || errors.As(err, &gone)
}

// Broken says whether a dial was cut off half-way, as it is while a process dies: worth one more try.
func Broken(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF)
}

// remoteAlert says whether the other side ended the handshake with a TLS alert. crypto/tls does not export
// its alert type, but marks them as a "remote error".
func remoteAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" && strings.Contains(op.Err.Error(), "tls:")
}
