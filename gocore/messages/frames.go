// Package messages is the message plane: small messages and the control frames of bulk transfers, in order per peer.
//
// Each peer dials one connection to each peer it writes to; the dialer writes, the acceptor reads, and both
// see the end of it.
package messages

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"pyfl/gocore/identity"
)

// PeerID names a peer.
type PeerID = identity.PeerID

// Kind says what a frame is. A frame is: u32 big-endian size of what follows, u8 kind, body.
type Kind byte

// The frames of version 1. The numbers are the protocol.
const (
	KindMessage Kind = 1 // u8 tag length, tag, payload
	KindGoodbye Kind = 2 // empty: the sender leaves on purpose
	KindPost    Kind = 3 // bulk: a receive was posted
	KindCancel  Kind = 4 // bulk: a posted receive was withdrawn
	KindSize    Kind = 5 // bulk: the send for a posted receive has another size
)

// Bounds, checked before anything is allocated.
const (
	MaxTag     = 128
	MaxPayload = 1 << 20
	maxControl = 1024
	frameHead  = 5
)

// maxBody is the largest body of a kind; 0 and false for kinds that do not exist.
func maxBody(kind Kind) (int, bool) {
	switch kind {
	case KindMessage:
		return 1 + MaxTag + MaxPayload, true
	case KindGoodbye:
		return 0, true
	case KindPost, KindCancel, KindSize:
		return maxControl, true
	}
	return 0, false
}

var errFrame = errors.New("not a frame of the message plane")

// readFrame reads one frame. Its errors wrap errFrame when the bytes are wrong, not the connection.
func readFrame(r io.Reader) (Kind, []byte, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	size, kind := binary.BigEndian.Uint32(head[:4]), Kind(head[4])
	limit, known := maxBody(kind)
	if !known {
		return 0, nil, fmt.Errorf("%w: kind %d is unknown", errFrame, kind)
	}
	if size < 1 || int64(size)-1 > int64(limit) {
		return 0, nil, fmt.Errorf("%w: %d bytes claimed for kind %d, at most %d", errFrame, size, kind, limit+1)
	}
	body := make([]byte, size-1)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, err
	}
	return kind, body, nil
}

func encodeFrame(kind Kind, parts ...[]byte) []byte {
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	frame := make([]byte, frameHead, frameHead+size)
	binary.BigEndian.PutUint32(frame, uint32(size+1))
	frame[4] = byte(kind)
	for _, part := range parts {
		frame = append(frame, part...)
	}
	return frame
}

// splitMessage takes a message body apart; the parts share its memory.
func splitMessage(body []byte) (tag, payload []byte, err error) {
	if len(body) < 1 || int(body[0]) > MaxTag || len(body) < 1+int(body[0]) {
		return nil, nil, fmt.Errorf("%w: the tag does not fit", errFrame)
	}
	n := 1 + int(body[0])
	if len(body)-n > MaxPayload {
		return nil, nil, fmt.Errorf("%w: a payload of %d bytes, at most %d", errFrame, len(body)-n, MaxPayload)
	}
	return body[1:n:n], body[n:], nil
}
