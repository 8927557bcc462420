// Which push/pull streams memberlist may read: ones whose claimed sizes are possible here.

package membership

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/vmihailenco/msgpack/v5"
)

// memberlist's types on a stream.
const (
	typePushPull = 6
	typeError    = 13
)

const (
	maxHead   = 256 // bytes in which the head of a push/pull must be complete
	maxStates = 2 * maxEntries
)

var errStream = errors.New("not a membership stream")

// stream looks at the head of what memberlist is about to read: memberlist itself allocates for up to a million nodes
// and 20 MB of user state, from numbers that a member merely claims.
type stream struct {
	net.Conn
	replay io.Reader // what was looked at, then the rest; nil before the first read
	err    error
}

func (s *stream) Read(p []byte) (int, error) {
	if s.replay == nil && s.err == nil {
		s.look()
	}
	if s.err != nil {
		return 0, s.err
	}
	return s.replay.Read(p)
}

func (s *stream) look() {
	var seen bytes.Buffer
	head := io.TeeReader(io.LimitReader(s.Conn, maxHead), &seen)
	if s.err = checkStream(head); s.err == nil {
		s.replay = io.MultiReader(&seen, s.Conn)
	}
}

func checkStream(head io.Reader) error {
	var kind [1]byte
	if _, err := io.ReadFull(head, kind[:]); err != nil {
		return err
	}
	switch kind[0] {
	case typeError:
		return nil // ends in a short text; memberlist decodes it as it comes
	case typePushPull:
	default:
		return fmt.Errorf("%w: type %d is not allowed", errStream, kind[0])
	}
	var header struct { // as memberlist encodes it, by these names
		Nodes        int
		UserStateLen int
		Join         bool
	}
	if err := msgpack.NewDecoder(head).Decode(&header); err != nil {
		return fmt.Errorf("%w: %w", errStream, err)
	}
	if header.Nodes < 0 || header.Nodes > maxStates || header.UserStateLen != 0 {
		return fmt.Errorf("%w: %d nodes and %d bytes of user state, at most %d and none", errStream, header.Nodes,
			header.UserStateLen, maxStates)
	}
	return nil
}
