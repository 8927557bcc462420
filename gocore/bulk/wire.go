// Package bulk moves large buffers, in the manner of MPI: bytes flow when both sides have posted the same tag and size
// for each other.
//
// The receiver drives. Its POST rides on the message plane; the sender then streams chunks on a bulk connection that it
// dialed, straight from the caller's buffer, and the receiver's reader puts them straight into the other caller's
// buffer. The receiver answers on the same connection, in the other direction, how each transfer ended.
package bulk

import (
	"encoding/binary"
	"errors"
	"fmt"

	"pyfl/gocore/identity"
	"pyfl/gocore/messages"
)

// PeerID names a peer.
type PeerID = identity.PeerID

// MaxChunk is the most bytes between two moments at which a transfer can be cancelled.
const MaxChunk = 256 << 10

// A chunk on a bulk connection, sender to receiver: u64 post, u32 size, u16 attempt, u8 flag, u8 zero; then size bytes.
// The attempt tells a transfer that was withdrawn and matched again from its first try.
const chunkHead = 16

type flag byte

const (
	flagData    flag = 0
	flagAborted flag = 1 // the sender withdrew in mid-stream: the receive waits for another send
	flagExpired flag = 2 // the sender gave up for lack of progress: the receive ends too
)

var errWire = errors.New("not a bulk frame")

// try names one attempt at a posted receive on one connection.
type try struct {
	post   uint64
	number uint16
}

func putChunk(b *[chunkHead]byte, t try, size int, f flag) []byte {
	binary.BigEndian.PutUint64(b[0:], t.post)
	binary.BigEndian.PutUint32(b[8:], uint32(size))
	binary.BigEndian.PutUint16(b[12:], t.number)
	b[14], b[15] = byte(f), 0
	return b[:]
}

func parseChunk(b *[chunkHead]byte) (t try, size int, f flag, err error) {
	t = try{binary.BigEndian.Uint64(b[0:]), binary.BigEndian.Uint16(b[12:])}
	n, f := binary.BigEndian.Uint32(b[8:]), flag(b[14])
	if n > MaxChunk || f > flagExpired || f != flagData && n != 0 || b[15] != 0 {
		return try{}, 0, 0, fmt.Errorf("%w: chunk of %d bytes, flag %d", errWire, n, f)
	}
	return t, int(n), f, nil
}

// A status on a bulk connection, receiver to sender: u64 post, u16 attempt, u8 verdict.
const statusSize = 11

type verdict byte

const (
	verdictDone      verdict = 0 // every byte arrived
	verdictUnknown   verdict = 1 // no such receive (any more): the send waits for another
	verdictWithdrawn verdict = 2 // the receive was cancelled in mid-stream: the send waits for another
	verdictExpired   verdict = 3 // the receive gave up for lack of progress: the send ends too
)

func putStatus(b *[statusSize]byte, t try, v verdict) []byte {
	binary.BigEndian.PutUint64(b[0:], t.post)
	binary.BigEndian.PutUint16(b[8:], t.number)
	b[10] = byte(v)
	return b[:]
}

func parseStatus(b *[statusSize]byte) (t try, v verdict, err error) {
	v = verdict(b[10])
	if v > verdictExpired {
		return try{}, 0, fmt.Errorf("%w: verdict %d", errWire, v)
	}
	return try{binary.BigEndian.Uint64(b[0:]), binary.BigEndian.Uint16(b[8:])}, v, nil
}

// Bodies of the control frames on the message plane. POST: u64 post, u64 size, tag. CANCEL and SIZE: u64 post.
func encodePost(post, size uint64, tag string) []byte {
	b := make([]byte, 16, 16+len(tag))
	binary.BigEndian.PutUint64(b, post)
	binary.BigEndian.PutUint64(b[8:], size)
	return append(b, tag...)
}

func parsePost(b []byte) (post, size uint64, tag string, err error) {
	if len(b) < 16 || len(b) > 16+messages.MaxTag {
		return 0, 0, "", fmt.Errorf("%w: POST of %d bytes", errWire, len(b))
	}
	return binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), string(b[16:]), nil
}

func encodePostID(post uint64) []byte { return binary.BigEndian.AppendUint64(nil, post) }

func parsePostID(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("%w: a post id of %d bytes", errWire, len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}
