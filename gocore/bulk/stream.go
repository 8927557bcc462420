// The sending side: connections to a peer, each carrying one transfer after another.

package bulk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"pyfl/gocore/transport"
)

// attempt is one try of a send on one stream. Plane.mu guards it.
type attempt struct {
	transfer *transfer
	remote   remotePost
	try      try
	stream   *stream
	started  bool // chunks have been written
	last     bool // ... or are being written, up to the last one
	complete bool // all of them; the verdict is awaited
	done     bool // the verdict came before the last write returned
	stop     flag // not flagData: end it before its last chunk
}

// stream is one connection that this side dialed. Plane.mu guards queue, current, awaited and load.
type stream struct {
	plane   *Plane
	peer    *peer
	ctx     context.Context
	halt    context.CancelFunc
	wake    chan struct{}
	number  uint16
	queue   []*attempt
	current *attempt
	awaited map[try]*attempt
	load    int // bytes queued and not yet written
	conn    *transport.Conn
	broken  bool
	retired bool // ends as soon as nothing is under way on it
}

// enqueue puts a matched send on the least loaded of the peer's streams, or a new one while there may be more.
func (p *Plane) enqueue(t *transfer, remote remotePost) {
	var best *stream
	for _, s := range t.peer.streams {
		if best == nil || s.load < best.load {
			best = s
		}
	}
	if remote.on != nil && !remote.on.broken {
		best = remote.on
	} else if best == nil || best.load > 0 && len(t.peer.streams) < p.config.Streams(t.peer.id) {
		best = p.newStream(t.peer)
	}
	a := &attempt{transfer: t, remote: remote, stream: best}
	best.number++
	a.try = try{remote.post, best.number}
	t.attempt = a
	best.queue = append(best.queue, a)
	best.load += len(t.buffer)
	best.signal()
}

func (p *Plane) newStream(peer *peer) *stream {
	s := &stream{plane: p, peer: peer, wake: make(chan struct{}, 1), awaited: map[try]*attempt{}}
	s.ctx, s.halt = context.WithCancel(p.ctx)
	peer.streams = append(peer.streams, s)
	p.running.Go("bulk.send", s.run)
	return s
}

func (s *stream) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// stop ends the stream without reporting it as broken.
func (s *stream) stop() {
	s.halt()
	if s.conn != nil {
		_ = s.conn.Close()
	}
}

// withdraw takes a send that ends off its stream. What the receiver posted stays open unless all of it was sent.
func (p *Plane) withdraw(t *transfer, reason string) {
	a := t.attempt
	if a == nil {
		return
	}
	t.attempt = nil
	s := a.stream
	delete(s.awaited, a.try)
	if a.complete || reason == "" {
		return
	}
	if reason == reasonCancelled || reason == reasonTimeout {
		if _, newer := t.peer.remote[t.tag]; !newer && !(a.started && reason == reasonTimeout) {
			again := a.remote
			if a.started {
				again.on = s
			}
			t.peer.remote[t.tag] = again
		}
	}
	if a.started {
		a.stop = flagAborted
		if reason == reasonTimeout {
			a.stop = flagExpired
		}
		return
	}
	for i, queued := range s.queue {
		if queued == a {
			s.queue = append(s.queue[:i:i], s.queue[i+1:]...)
			s.load -= len(t.buffer)
			break
		}
	}
}

func (s *stream) run() {
	p := s.plane
	conn := s.connect()
	if conn == nil {
		s.end(nil)
		return
	}
	verdicts := make(chan struct{})
	p.running.Go("bulk.verdicts", func() {
		defer close(verdicts)
		defer conn.Close() // a writer that is blocked must learn of it
		s.readVerdicts(conn)
		s.signal()
	})
	err := s.write(conn, verdicts)
	_ = conn.Close()
	<-verdicts
	s.end(err)
}

// connect dials until it succeeds; nil when the stream was stopped. A peer's death stops it through Gone.
func (s *stream) connect() *transport.Conn {
	p, pause := s.plane, 50*time.Millisecond
	for {
		if addr, life, ok := p.config.Resolve(s.peer.id); ok && life == s.peer.life {
			conn, err := p.config.Transport.Dial(s.ctx, addr, transport.Bulk, s.peer.id)
			if err == nil && conn.Life() != s.peer.life {
				_ = conn.Close()
				p.config.Broken(s.peer.id)
			} else if err == nil {
				p.mu.Lock()
				s.conn = conn
				p.mu.Unlock()
				if s.ctx.Err() != nil {
					_ = conn.Close()
					return nil
				}
				return conn
			}
			if transport.Gone(err) && s.ctx.Err() == nil {
				p.config.Broken(s.peer.id)
			}
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, 2*time.Second)
		case <-s.ctx.Done():
			return nil
		}
	}
}

// take waits for the next attempt; nil when the stream ends.
func (s *stream) take(broken <-chan struct{}, idle func() error) (*attempt, error) {
	p := s.plane
	for {
		p.mu.Lock()
		retired := s.retired && len(s.awaited) == 0
		if len(s.queue) > 0 && !retired {
			a := s.queue[0]
			s.queue = s.queue[1:]
			if len(s.queue) == 0 {
				s.queue = nil
			}
			a.started = true
			a.transfer.progress = time.Now()
			s.current = a
			p.mu.Unlock()
			return a, nil
		}
		p.mu.Unlock()
		if err := idle(); err != nil {
			return nil, err
		}
		if retired {
			return nil, errRetired
		}
		select {
		case <-s.wake:
		case <-broken:
			return nil, io.EOF
		case <-s.ctx.Done():
			return nil, s.ctx.Err()
		}
	}
}

var errRetired = errors.New("there is a better way to the peer")

// Renew ends the streams to a peer when nothing is under way on them; what comes next dials anew.
func (p *Plane) Renew(id PeerID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if peer := p.peers[id]; peer != nil {
		for _, s := range peer.streams {
			s.retired = true
			s.signal()
		}
	}
}

func (s *stream) write(conn *transport.Conn, broken <-chan struct{}) error {
	for {
		a, err := s.take(broken, conn.Flush)
		if err != nil {
			return err
		}
		if err := s.writeAttempt(conn, a); err != nil {
			return err
		}
	}
}

// writeAttempt writes a transfer chunk by chunk. Between two chunks it may be withdrawn, which ends it with a flag
// instead of a broken connection.
func (s *stream) writeAttempt(conn *transport.Conn, a *attempt) error {
	p, t := s.plane, a.transfer
	var head [chunkHead]byte
	for offset := 0; ; {
		p.mu.Lock()
		if a.stop != flagData {
			stop := a.stop
			s.current = nil
			s.load -= int(a.remote.size) - offset
			p.mu.Unlock()
			_, err := conn.WriteBuffered(putChunk(&head, a.try, 0, stop))
			return err
		}
		t.busy++
		chunk := t.buffer[offset:min(offset+MaxChunk, len(t.buffer))]
		a.last = offset+len(chunk) == len(t.buffer)
		p.mu.Unlock()

		err := conn.SetWriteDeadline(time.Now().Add(2 * p.config.Progress))
		if err == nil {
			_, err = conn.WriteBuffered(putChunk(&head, a.try, len(chunk), flagData))
		}
		if err == nil && len(chunk) > 0 {
			_, err = conn.WriteBuffered(chunk)
		}
		offset += len(chunk)

		p.mu.Lock()
		t.progress = time.Now()
		s.load -= len(chunk)
		if err == nil && a.last {
			s.written(a)
		}
		p.released(t)
		if a.done && t.attempt == a {
			p.finish(t, "")
		}
		p.mu.Unlock()
		if err != nil || a.last {
			return err
		}
	}
}

// written: the last chunk is out.
func (s *stream) written(a *attempt) {
	s.current = nil
	t := a.transfer
	if a.stop != flagData { // withdrawn meanwhile: the receiver has everything and says so, to nobody
		if t.peer.remote[t.tag].post == a.try.post {
			delete(t.peer.remote, t.tag)
		}
		return
	}
	a.complete = true
	s.awaited[a.try] = a
	s.plane.Counters.Sent.Add(int64(a.remote.size))
}

// interrupt gets a goroutine that is blocked on a transfer's buffer to let go of it.
func (p *Plane) interrupt(t *transfer) {
	if t.receive {
		// A read that is cut short leaves TLS intact: the reader drains the rest.
		_ = t.conn.SetReadDeadline(time.Unix(1, 0))
		return
	}
	// A write that is cut short does not, so the chunk under way gets a moment to finish.
	var conns []*transport.Conn
	for _, s := range t.peer.streams {
		if s.current != nil && s.current.transfer == t && s.conn != nil {
			conns = append(conns, s.conn)
		}
	}
	timer := time.AfterFunc(writeGrace, func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	})
	p.running.Go("bulk.interrupt", func() {
		<-t.done
		timer.Stop()
	})
}

const writeGrace = 250 * time.Millisecond

// readVerdicts takes the receiver's answers until the connection ends.
func (s *stream) readVerdicts(conn *transport.Conn) {
	var b [statusSize]byte
	for {
		if _, err := io.ReadFull(conn, b[:]); err != nil {
			return
		}
		t, v, err := parseStatus(&b)
		if err == nil {
			err = s.judge(t, v)
		}
		if err != nil {
			s.plane.config.Fault("bulk.verdict", fmt.Errorf("peer %s: %w; connection closed", s.peer.id, err))
			return
		}
	}
}

func (s *stream) judge(t try, v verdict) error {
	p := s.plane
	p.mu.Lock()
	defer p.mu.Unlock()
	a := s.awaited[t]
	if a == nil && s.current != nil && s.current.try == t {
		a = s.current
	}
	if a == nil || a.transfer.attempt != a {
		return nil // withdrawn meanwhile
	}
	switch v {
	case verdictDone:
		if !a.last {
			return fmt.Errorf("%w: a transfer was called done before its end", errWire)
		}
		if a.complete {
			p.finish(a.transfer, "")
		} else {
			a.done = true
		}
	case verdictExpired:
		p.finish(a.transfer, reasonTimeout)
	case verdictUnknown, verdictWithdrawn:
		delete(s.awaited, t)
		if !a.complete {
			a.stop = flagAborted
		}
		a.transfer.attempt = nil
		p.match(s.peer, a.transfer.tag)
	}
	return nil
}

// end clears up after the connection: what was under way on it is lost, what had not begun goes to another stream.
func (s *stream) end(err error) {
	p := s.plane
	p.mu.Lock()
	s.broken = true
	for i, other := range s.peer.streams {
		if other == s {
			s.peer.streams = append(s.peer.streams[:i:i], s.peer.streams[i+1:]...)
			break
		}
	}
	reason := reasonPeerLost
	if timeout, ok := err.(interface{ Timeout() bool }); ok && timeout.Timeout() {
		reason = reasonTimeout
	}
	lost := make([]*attempt, 0, len(s.awaited)+1)
	for _, a := range s.awaited {
		lost = append(lost, a)
	}
	if s.current != nil {
		lost = append(lost, s.current)
	}
	queue := s.queue
	s.queue, s.current = nil, nil
	for _, a := range lost {
		if a.transfer.attempt == a {
			a.transfer.attempt = nil
			p.finish(a.transfer, reason)
		}
	}
	stopped := s.ctx.Err() != nil
	if !stopped {
		for _, a := range queue {
			if a.transfer.attempt == a {
				p.enqueue(a.transfer, a.remote)
			}
		}
	}
	p.mu.Unlock()
	s.halt()
	if !stopped {
		p.config.Broken(s.peer.id)
	}
}
