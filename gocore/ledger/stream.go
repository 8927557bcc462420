// Raft's stream layer over the ledger plane: addresses are servers, and both ends prove which one they are before a
// Raft byte passes.

package ledger

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

type stream struct {
	l     *Ledger
	ready chan net.Conn
}

var _ raft.StreamLayer = (*stream)(nil)

type serverAddr string

func (serverAddr) Network() string  { return "ledger" }
func (a serverAddr) String() string { return string(a) }

func (s *stream) Addr() net.Addr { return serverAddr(s.l.self) }

// Close is Raft's; the connections are closed by the ledger, which opened the listener.
func (s *stream) Close() error { return nil }

func (s *stream) Accept() (net.Conn, error) {
	select {
	case c := <-s.ready:
		return c, nil
	case <-s.l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Dial reaches a server of exactly that incarnation. A server reaches itself through memory: that is how it calls
// itself to an election.
func (s *stream) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	to := string(address)
	ctx, cancel := context.WithTimeout(s.l.ctx, timeout)
	defer cancel()
	if to == s.l.self {
		near, far := net.Pipe()
		tracked, err := s.l.conns.add(far, s.l.cfg.Self, false)
		if err != nil {
			return nil, errors.Join(err, near.Close(), far.Close())
		}
		tracked.name(to)
		if err := s.offer(ctx, tracked); err != nil {
			return nil, errors.Join(err, near.Close())
		}
		return s.l.conns.add(near, s.l.cfg.Self, false)
	}
	if !validServer(to) {
		return nil, fmt.Errorf("ledger: %.80q is not a server", to)
	}
	conn, err := s.l.dial(ctx, peerOf(to), PlaneRaft)
	if err != nil {
		return nil, err
	}
	if _, err := s.l.introduce(conn, peerOf(to), hello{Kind: kindRaft, To: to}); err != nil {
		s.l.noteRefusal(err)
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func (s *stream) offer(ctx context.Context, c *trackedConn) error {
	select {
	case s.ready <- &boundedConn{trackedConn: c, idle: s.l.raftIdle(), timeout: s.l.ioTimeout()}:
		return nil
	case <-ctx.Done():
		return errors.Join(ctx.Err(), c.Close())
	}
}

// serveRaft takes an accepted connection through its handshake.
func (s *stream) serveRaft(conn *trackedConn) {
	h, refused, err := s.l.receiveHello(conn, conn.peer)
	if err != nil {
		conn.Close()
		return
	}
	if refused == "" && (h.Kind != kindRaft || h.Ledger == "" || h.To == "") {
		refused = refusedHello
	}
	if refused == "" && !s.l.mayCall(h.From) {
		refused = refusedMember
	}
	if refused == "" {
		if err := s.l.adopt(h.lineage()); err != nil {
			s.l.fault("ledger handshake", err)
			refused = refusedLedger
		}
	}
	conn.name(h.From)
	err = writeFrame(conn, &welcome{Refused: refused, Status: s.l.status()})
	if refused != "" || err != nil {
		if refused != "" {
			s.l.fault("ledger handshake", fmt.Errorf("ledger: a Raft connection of %.80s was refused: %s", h.From, refused))
		}
		conn.Close()
		return
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		conn.Close()
		return
	}
	_ = s.offer(s.l.ctx, conn) // fails only when closing, and has closed the connection then
}

// mayCall: Raft calls are taken from servers of the configuration, the log's own or a newer one heard of; before
// there is any, from every member.
func (l *Ledger) mayCall(from string) bool {
	own := l.latestServers()
	if len(own) == 0 {
		return true
	}
	for _, s := range own {
		if s.ID == from {
			return true
		}
	}
	member, _ := l.standing.committee().has(from)
	return member
}

// dropOutsiders closes Raft connections of servers that are in no configuration any more.
func (l *Ledger) dropOutsiders() {
	l.conns.closeIf(func(c *trackedConn) bool { return c.accepted && c.server != "" && !l.mayCall(c.server) })
}
