// Frames on the ledger's connections: four bytes of length, big-endian, then MessagePack. The length is checked
// against the reader's bound before anything is allocated.

package ledger

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/vmihailenco/msgpack/v5"
)

const (
	maxHello = 4 << 10                // first frames, before anything is known of the other end
	maxHead  = 128 << 10              // statuses and snapshot heads
	maxFeed  = (1 << 20) + maxCommand // records of a watch: a batch of 1 MiB and the rest of the last write
)

func writeFrame(w io.Writer, v any) error {
	body, err := msgpack.Marshal(v)
	if err != nil {
		return err
	}
	return writeRawFrame(w, body)
}

func readFrame(r io.Reader, v any, limit int) error {
	body, err := readRawFrame(r, limit)
	if err != nil {
		return err
	}
	if err := msgpack.Unmarshal(body, v); err != nil {
		return fmt.Errorf("ledger: a frame of %d bytes is not what was expected: %w", len(body), err)
	}
	return nil
}

func readRawFrame(r io.Reader, limit int) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if int64(n) > int64(limit) {
		return nil, fmt.Errorf("ledger: a frame claims %d bytes, expected at most %d", n, limit)
	}
	body := make([]byte, n)
	_, err := io.ReadFull(r, body)
	return body, err
}

func writeRawFrame(w io.Writer, body []byte) error {
	frame := make([]byte, 4+len(body))
	binary.BigEndian.PutUint32(frame, uint32(len(body)))
	copy(frame[4:], body)
	_, err := w.Write(frame)
	return err
}
