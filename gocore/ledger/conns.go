// The connections that are open: bounded per peer, closed together.

package ledger

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// connsPerPeer on a plane: Raft keeps about five to a follower (pipeline, heartbeat, votes), a watcher one.
const connsPerPeer = 24

type connSet struct {
	mu     sync.Mutex
	open   map[*trackedConn]bool
	count  map[PeerID]int // accepted ones
	closed bool
}

func newConnSet() *connSet {
	return &connSet{open: map[*trackedConn]bool{}, count: map[PeerID]int{}}
}

var errTooMany = errors.New("ledger: too many connections of that peer")

// add tracks a connection; the returned one must be used and closed in its place.
func (s *connSet) add(conn net.Conn, peer PeerID, accepted bool) (*trackedConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if accepted {
		if s.count[peer] >= connsPerPeer {
			return nil, errTooMany
		}
		s.count[peer]++
	}
	t := &trackedConn{Conn: conn, set: s, peer: peer, accepted: accepted}
	s.open[t] = true
	return t, nil
}

// closeIf closes the connections that match.
func (s *connSet) closeIf(match func(*trackedConn) bool) {
	s.mu.Lock()
	var doomed []*trackedConn
	for c := range s.open {
		if match(c) {
			doomed = append(doomed, c)
		}
	}
	s.mu.Unlock()
	for _, c := range doomed {
		c.Close()
	}
}

func (s *connSet) closeAll() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.closeIf(func(*trackedConn) bool { return true })
}

type trackedConn struct {
	net.Conn
	set      *connSet
	peer     PeerID
	accepted bool
	once     sync.Once
	err      error

	server string // who called, "" until known; under set.mu
}

func (c *trackedConn) name(server string) {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	c.server = server
}

func (c *trackedConn) Close() error {
	c.once.Do(func() {
		c.set.mu.Lock()
		delete(c.set.open, c)
		if c.accepted {
			if c.set.count[c.peer]--; c.set.count[c.peer] == 0 {
				delete(c.set.count, c.peer)
			}
		}
		c.set.mu.Unlock()
		c.err = c.Conn.Close()
	})
	return c.err
}

// boundedConn is an accepted Raft connection: every wait has a deadline, and what it may send between two answers a
// bound, since Raft's decoder has none. A snapshot is the largest.
type boundedConn struct {
	*trackedConn
	idle    time.Duration
	timeout time.Duration
	unread  int64
}

const maxBetweenAnswers = maxState + maxState/4

func (c *boundedConn) Read(p []byte) (int, error) {
	if c.unread > maxBetweenAnswers {
		return 0, io.ErrUnexpectedEOF
	}
	if err := c.SetReadDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	c.unread += int64(n)
	return n, err
}

func (c *boundedConn) Write(p []byte) (int, error) {
	c.unread = 0
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
