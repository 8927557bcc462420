// Package transport is the swarm's one port: mutual TLS 1.3 between members, with ALPN saying which plane a
// connection carries.
package transport

import (
	"crypto/tls"
	"net"
	"sync"
	"time"

	"pyfl/gocore/identity"
)

// PeerID is identity.PeerID, repeated so that users of a connection need not import identity.
type PeerID = identity.PeerID

// Life tells one run of a peer's process from the next: a random number that each transport draws when it opens and
// both sides say when they connect.
type Life uint64

// Plane is what a connection is for, spoken as its ALPN protocol.
type Plane string

// The planes of version 1.
const (
	Member  Plane = "pyfl-member/1"
	Ledger  Plane = "pyfl-ledger/1"
	Watch   Plane = "pyfl-watch/1"
	Message Plane = "pyfl-msg/1"
	Bulk    Plane = "pyfl-bulk/1"
	Relay   Plane = "pyfl-relay/1" // never relayed itself, so that there are no chains
)

var planes = []Plane{Member, Ledger, Watch, Message, Bulk, Relay}

// Conn is an authenticated connection to a member. Reads and writes follow net.Conn: one reader and one writer at a
// time; Close from anywhere. Write sends at once; WriteBuffered gathers up to 256 KiB until Flush.
type Conn struct {
	tls   *tls.Conn
	under *coalescer
	owner *T
	peer  PeerID
	via   PeerID
	plane Plane
	life  Life

	ledger  LedgerID // the other end's when it connected; with greeted under the owner's lock
	greeted bool

	once sync.Once
	err  error
}

// Peer is the id of the member at the other end, proven by its key.
func (c *Conn) Peer() PeerID { return c.peer }

// Via is the peer that passes this connection's ciphertext on; "" when it is straight.
func (c *Conn) Via() PeerID { return c.via }

// Life is which life of that member it is.
func (c *Conn) Life() Life { return c.life }

// Plane is the plane both ends agreed on.
func (c *Conn) Plane() Plane { return c.plane }

func (c *Conn) Read(p []byte) (int, error) { return c.tls.Read(p) }

func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.tls.Write(p)
	if err == nil {
		err = c.under.flush()
	}
	return n, err
}

// WriteBuffered encrypts p into the write buffer, which goes out when it is full or on Flush. p is not kept.
func (c *Conn) WriteBuffered(p []byte) (int, error) { return c.tls.Write(p) }

// Flush sends what WriteBuffered has gathered.
func (c *Conn) Flush() error { return c.under.flush() }

// Close ends the connection at once and without TLS's close_notify, whose write could block for seconds
// on a peer that stands still. All planes frame their data, so a truncation is seen without it. Data
// already written is still delivered by TCP.
func (c *Conn) Close() error {
	c.once.Do(func() {
		c.err = c.under.Conn.Close()
		c.owner.untrack(c)
	})
	return c.err
}

// CloseWrite lets the other end read to the end of what was written; only a straight connection has such a half end.
func (c *Conn) CloseWrite() error {
	if tcp, ok := c.under.Conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return c.Close()
}

func (c *Conn) LocalAddr() net.Addr                { return c.tls.LocalAddr() }
func (c *Conn) RemoteAddr() net.Addr               { return c.tls.RemoteAddr() }
func (c *Conn) SetDeadline(t time.Time) error      { return c.tls.SetDeadline(t) }
func (c *Conn) SetReadDeadline(t time.Time) error  { return c.tls.SetReadDeadline(t) }
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.tls.SetWriteDeadline(t) }
