// Package relay lets two members that cannot connect to each other meet on a third that reaches both.
//
// The one that dials names the other to the third, which connects to it and from then on copies bytes both ways. Inside,
// the two speak the transport's own mutual TLS with each other: the third sees ciphertext, and can drop it, no more.
package relay

import (
	"errors"
	"fmt"
	"io"
	"net"

	"pyfl/gocore/identity"
	"pyfl/gocore/transport"
)

// PeerID names a peer.
type PeerID = identity.PeerID

// The first byte on a connection of the relay plane says what it is for.
const (
	opOpen    byte = 'o' // to the one in the middle: peer id, then u8 size and the address that the caller knows
	opDeliver byte = 'd' // from it: the peer id of the caller, which the handshake inside proves
)

// answer is the one byte that the middle says to opOpen; after answerOpen come the other's bytes.
type answer byte

const (
	answerOpen    answer = 'y'
	answerGone    answer = 'g' // nobody, or somebody else, is at that address
	answerUnknown answer = 'n' // not a member now, or known at another address
	answerFar     answer = 'u' // does not answer here either
	answerBusy    answer = 'b'
)

const (
	idSize  = 32
	maxAddr = 64
)

var errWire = errors.New("not a relay frame")

func encodeOpen(target PeerID, addr string) ([]byte, error) {
	if !identity.ValidID(target) || len(addr) > maxAddr {
		return nil, fmt.Errorf("%w: open to %.40q at %.80q", errWire, target, addr)
	}
	b := append([]byte{opOpen}, target...)
	b = append(b, byte(len(addr)))
	return append(b, addr...), nil
}

func encodeDeliver(origin PeerID) []byte { return append([]byte{opDeliver}, origin...) }

// readHead reads a connection's first frame. addr is empty for opDeliver.
func readHead(r io.Reader) (op byte, peer PeerID, addr string, err error) {
	var head [1 + idSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, "", "", err
	}
	op, peer = head[0], PeerID(head[1:])
	if op != opOpen && op != opDeliver || !identity.ValidID(peer) {
		return 0, "", "", fmt.Errorf("%w: first byte %#x for peer %.40q", errWire, op, peer)
	}
	if op == opDeliver {
		return op, peer, "", nil
	}
	var size [1]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return 0, "", "", err
	}
	if size[0] > maxAddr {
		return 0, "", "", fmt.Errorf("%w: an address of %d bytes, at most %d", errWire, size[0], maxAddr)
	}
	b := make([]byte, size[0])
	if _, err := io.ReadFull(r, b); err != nil {
		return 0, "", "", err
	}
	return op, peer, string(b), nil
}

// readAnswer reads what the middle says; nil when the connection is through.
func readAnswer(conn net.Conn, target PeerID, addr string, via PeerID) error {
	var b [1]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return fmt.Errorf("relay %s: %w", via, err)
	}
	switch answer(b[0]) {
	case answerOpen:
		return nil
	case answerGone:
		return &transport.GoneError{Peer: target, Addr: addr, Via: via}
	case answerUnknown:
		return fmt.Errorf("relay %s does not know peer %s at %s", via, target, addr)
	case answerFar:
		return fmt.Errorf("relay %s does not reach peer %s either", via, target)
	case answerBusy:
		return fmt.Errorf("relay %s passes on as much as it may", via)
	}
	return fmt.Errorf("%w: answer %#x of relay %s", errWire, b[0], via)
}
