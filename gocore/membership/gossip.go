// memberlist's packets and streams over the transport's member plane.

package membership

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"pyfl/gocore/transport"
)

// The first byte on a member connection says what it carries. A probe says nothing and closes.
const (
	carriesPackets byte = 'P' // frames of u16 size and a packet; size 0: the dialer closes on purpose
	carriesStream  byte = 'S' // one push/pull exchange
)

const (
	packetQueue   = 64              // packets waiting for one peer; more are dropped, as UDP would
	packetDial    = 2 * time.Second // a way around takes longer
	packetWrite   = 500 * time.Millisecond
	packetIdle    = 2 * time.Minute
	maxPacketDest = 4096 // addresses that packets are being sent to
)

// gossip is a memberlist.NodeAwareTransport.
type gossip struct {
	transport *transport.T
	listener  *transport.Listener
	advertise *net.TCPAddr
	spawn     func(where string, f func())
	fault     func(where string, err error)
	broken    func(peer PeerID)
	accepted  func(peer PeerID, life transport.Life)
	locate    func(memberlist.Address) string // where that is now
	packets   chan *memberlist.Packet
	streams   chan net.Conn
	dropped   atomic.Int64
	ctx       context.Context
	cancel    context.CancelFunc

	mu    sync.Mutex
	dests map[memberlist.Address]chan []byte
}

func (g *gossip) start() {
	g.packets = make(chan *memberlist.Packet, 256)
	g.streams = make(chan net.Conn, 16)
	g.dests = map[memberlist.Address]chan []byte{}
	g.spawn("membership.accept", g.acceptLoop)
}

func (g *gossip) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return g.advertise.IP, g.advertise.Port, nil
}

func (g *gossip) PacketCh() <-chan *memberlist.Packet { return g.packets }
func (g *gossip) StreamCh() <-chan net.Conn           { return g.streams }

func (g *gossip) acceptLoop() {
	for {
		conn, err := g.listener.AcceptPeer()
		if err != nil {
			return
		}
		g.spawn("membership.receive", func() { g.serve(conn) })
	}
}

func (g *gossip) serve(conn *transport.Conn) {
	var kind [1]byte
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadFull(conn, kind[:]); err != nil {
		_ = conn.Close()
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	g.accepted(conn.Peer(), conn.Life())
	switch kind[0] {
	case carriesStream:
		select {
		case g.streams <- &stream{Conn: conn}:
		case <-g.ctx.Done():
			_ = conn.Close()
		}
	case carriesPackets:
		stop := context.AfterFunc(g.ctx, func() { _ = conn.Close() })
		err := g.readPackets(conn)
		stop()
		_ = conn.Close()
		if g.ctx.Err() != nil || err == nil {
			return
		}
		if errors.Is(err, errPacket) {
			g.fault("membership.packet", fmt.Errorf("peer %s: %w; connection closed", conn.Peer(), err))
		}
		g.broken(conn.Peer())
	default:
		_ = conn.Close()
		g.fault("membership.receive", fmt.Errorf("peer %s: first byte %#x is unknown", conn.Peer(), kind[0]))
	}
}

// readPackets returns nil when the dialer closed on purpose.
func (g *gossip) readPackets(conn *transport.Conn) error {
	from := conn.RemoteAddr()
	var head [2]byte
	for {
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return err
		}
		size := binary.BigEndian.Uint16(head[:])
		if size == 0 {
			return nil
		}
		packet := make([]byte, size)
		if _, err := io.ReadFull(conn, packet); err != nil {
			return err
		}
		if err := checkPacket(packet, 0); err != nil {
			return err
		}
		select {
		case g.packets <- &memberlist.Packet{Buf: packet, From: from, Timestamp: time.Now()}:
		case <-g.ctx.Done():
			return nil
		}
	}
}

// WriteTo sends a packet to whoever is at the address.
func (g *gossip) WriteTo(b []byte, addr string) (time.Time, error) {
	return g.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress queues a packet and never blocks; like UDP it does not say whether it arrives.
func (g *gossip) WriteToAddress(b []byte, dest memberlist.Address) (time.Time, error) {
	if len(b) > 1<<16-1 || len(b) == 0 {
		return time.Time{}, fmt.Errorf("a packet of %d bytes", len(b))
	}
	packet := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(b)), uint16(len(b)))
	packet = append(packet, b...)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ctx.Err() != nil {
		return time.Time{}, transport.ErrClosed
	}
	queue := g.dests[dest]
	if queue == nil {
		if len(g.dests) >= maxPacketDest {
			g.dropped.Add(1)
			return time.Now(), nil
		}
		queue = make(chan []byte, packetQueue)
		g.dests[dest] = queue
		g.spawn("membership.send", func() { g.send(dest, queue) })
	}
	select {
	case queue <- packet:
	default:
		g.dropped.Add(1)
	}
	return time.Now(), nil
}

// send is the sender of one destination; it ends when nothing was sent for a while.
func (g *gossip) send(dest memberlist.Address, queue chan []byte) {
	out := packetConn{gossip: g, dest: dest}
	defer out.drop()
	idle := time.NewTimer(packetIdle)
	defer idle.Stop()
	for {
		idle.Reset(packetIdle)
		select {
		case <-g.ctx.Done():
			return
		case <-out.ended:
			out.lost()
		case <-idle.C:
			g.mu.Lock()
			ends := len(queue) == 0
			if ends {
				delete(g.dests, dest)
			}
			g.mu.Unlock()
			if ends {
				out.retire()
				return
			}
		case packet := <-queue:
			out.write(packet)
		}
	}
}

// packetConn is the connection under one destination's sender, made when needed.
type packetConn struct {
	gossip *gossip
	dest   memberlist.Address
	conn   *transport.Conn
	ended  chan struct{} // the other side closed; nil without a connection
}

func (c *packetConn) write(packet []byte) {
	if c.conn == nil && !c.open() {
		c.gossip.dropped.Add(1)
		return
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(packetWrite))
	if _, err := c.conn.Write(packet); err != nil {
		c.lost()
	}
}

func (c *packetConn) open() bool {
	ctx, cancel := context.WithTimeout(c.gossip.ctx, packetDial)
	defer cancel()
	conn, err := c.gossip.transport.Dial(ctx, c.gossip.locate(c.dest), transport.Member, c.dest.Name)
	if err == nil {
		_ = conn.SetWriteDeadline(time.Now().Add(packetWrite))
		_, err = conn.Write([]byte{carriesPackets})
		if err != nil {
			_ = conn.Close()
		}
	}
	if err != nil {
		if transport.Gone(err) && c.dest.Name != "" && c.gossip.ctx.Err() == nil {
			c.gossip.broken(c.dest.Name)
		}
		return false
	}
	ended := make(chan struct{})
	c.conn, c.ended = conn, ended
	c.gossip.spawn("membership.watch", func() {
		defer close(ended)
		var one [1]byte
		_, _ = conn.Read(one[:]) // the acceptor never writes: this returns when the connection ends
	})
	return true
}

// lost: the connection ended and nobody on this side meant it to.
func (c *packetConn) lost() {
	peer := c.conn.Peer()
	c.drop()
	if c.gossip.ctx.Err() == nil {
		c.gossip.broken(peer)
	}
}

// retire says that the connection ends on purpose; if it cannot be said, the other side looks.
func (c *packetConn) retire() {
	if c.conn == nil {
		return
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(packetWrite))
	_, _ = c.conn.Write([]byte{0, 0})
}

func (c *packetConn) drop() {
	if c.conn == nil {
		return
	}
	_ = c.conn.Close()
	<-c.ended
	c.conn, c.ended = nil, nil
}

// DialTimeout opens a push/pull stream to whoever is at the address.
func (g *gossip) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return g.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (g *gossip) DialAddressTimeout(dest memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(g.ctx, timeout)
	defer cancel()
	conn, err := g.transport.Dial(ctx, g.locate(dest), transport.Member, dest.Name)
	if err != nil {
		return nil, err
	}
	_ = conn.SetWriteDeadline(time.Now().Add(timeout))
	if _, err := conn.Write([]byte{carriesStream}); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &stream{Conn: conn}, nil
}

// Shutdown ends the senders and the accept loop; memberlist calls it first.
func (g *gossip) Shutdown() error {
	g.cancel()
	_ = g.listener.Close()
	return nil
}
