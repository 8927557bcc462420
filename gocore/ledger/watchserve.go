// The watch plane's serving half: records to watchers as they are applied, answers to questions, writes for the
// leader.

package ledger

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// feed is a frame of a watch: records in index order that reach up to Upto, or news of the standing, or both.
type feed struct {
	Records []wireRecord `msgpack:"r"`
	Upto    uint64       `msgpack:"u"`
	Status  *status      `msgpack:"s"`
}

type wireRecord struct {
	Key     string `msgpack:"k"`
	Version uint64 `msgpack:"v"`
	Index   uint64 `msgpack:"i"`
	Value   []byte `msgpack:"d"`
}

func (l *Ledger) serveWatchPlane(conn *trackedConn) {
	defer conn.Close()
	h, refused, err := l.receiveHello(conn, conn.peer)
	if err != nil {
		return
	}
	if refused == "" && h.Kind == kindRaft {
		refused = refusedHello
	}
	if refused != "" {
		if refused == refusedHello || refused == refusedLedger {
			l.fault("watch handshake", fmt.Errorf("ledger: a watch connection of peer %s was refused: %s", conn.peer, refused))
		}
		_ = writeFrame(conn, &welcome{Refused: refused, Status: l.status()}) // it is closed either way
		return
	}
	l.noteServer(h.From)
	switch h.Kind {
	case kindWatch:
		l.serveWatch(conn, h.After)
	case kindAsk:
		_ = writeFrame(conn, &welcome{Status: l.status()}) // the asker times out and asks again
	case kindCaughtUp:
		l.serveCaughtUp(conn, h.After)
	case kindWrite:
		l.serveWrite(conn)
	case kindLeave:
		reply := welcome{Status: l.status()}
		if reply.Status.Leads {
			l.markLeaving(h.From)
		}
		_ = writeFrame(conn, &reply) // Leads in the status says whether it was heard
	default:
		_ = writeFrame(conn, &welcome{Refused: refusedHello, Status: l.status()})
	}
}

// serveWatch: only voters serve; others answer with the voters that they know, and close.
func (l *Ledger) serveWatch(conn *trackedConn, after uint64) {
	if err := writeFrame(conn, &welcome{Status: l.status()}); err != nil || !l.votes() {
		return
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return
	}
	gone := make(chan struct{})
	if !l.spawn("watch reader", func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, 1)) // a watcher sends nothing: this ends when it hangs up
	}) {
		return
	}
	defer func() { conn.Close(); <-gone }()
	beat := time.NewTicker(l.cfg.Heartbeat / 2)
	defer beat.Stop()
	moved := l.standing.changed.wait() // taken before each status is read, so that no change is missed
	for fresh := true; ; {
		records, upto, changed := l.view.after(after)
		if fresh || upto > after {
			frame := feed{Records: toWire(records), Upto: upto}
			if fresh {
				st := l.status()
				frame.Status = &st
			}
			if err := conn.SetWriteDeadline(time.Now().Add(l.ioTimeout())); err != nil {
				return
			}
			if err := writeFrame(conn, &frame); err != nil {
				return
			}
			fresh, after = false, upto
			continue
		}
		select {
		case <-changed:
		case <-moved:
			moved = l.standing.changed.wait()
			fresh = true
		case <-beat.C:
			fresh = true
		case <-gone:
			return
		case <-l.ctx.Done():
			return
		}
	}
}

func toWire(records []Record) []wireRecord {
	out := make([]wireRecord, len(records))
	for i, r := range records {
		out[i] = wireRecord(r)
	}
	return out
}

// serveCaughtUp answers when the log reaches an index: the leader asks before it gives a vote. Appends wake it; a
// snapshot moves the log without one, hence the tick.
func (l *Ledger) serveCaughtUp(conn *trackedConn, index uint64) {
	deadline := time.NewTimer(l.ioTimeout())
	defer deadline.Stop()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		appended := l.stores.appended.wait()
		if l.lastIndex() >= index {
			_ = conn.SetWriteDeadline(time.Now().Add(l.ioTimeout())) // the write fails too, then
			_ = writeFrame(conn, &welcome{Status: l.status()})       // the leader asks again
			return
		}
		select {
		case <-appended:
		case <-tick.C:
		case <-deadline.C:
			return
		case <-l.ctx.Done():
			return
		}
	}
}

type writeReply struct {
	Error WriteError `msgpack:"e"`
}

// serveWrite takes one write of another peer: control records only, whoever asks.
func (l *Ledger) serveWrite(conn *trackedConn) {
	if err := writeFrame(conn, &welcome{Status: l.status()}); err != nil {
		return
	}
	if err := conn.SetReadDeadline(time.Now().Add(l.ioTimeout())); err != nil {
		return
	}
	data, err := readRawFrame(conn, maxCommand)
	if err != nil {
		return
	}
	var result WriteError
	if _, ops, err := decodeCommand(data); err != nil {
		l.fault("forwarded write", fmt.Errorf("peer %s: %w", conn.peer, err))
		result = Denied
	} else if !onlyControl(ops) || l.cfg.MayControl != nil && !l.cfg.MayControl(conn.peer) {
		result = Denied
	} else {
		result = l.apply(data, time.Now().Add(l.cfg.WriteTimeout))
	}
	if err := conn.SetWriteDeadline(time.Now().Add(l.ioTimeout())); err != nil {
		return
	}
	_ = writeFrame(conn, &writeReply{result}) // the caller repeats the write with its nonce
}

// acceptLoop hands every connection of a plane to its own goroutine.
func (l *Ledger) acceptLoop(listener net.Listener, serve func(*trackedConn)) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			if l.ctx.Err() != nil {
				return
			}
			l.fault("ledger listener", err)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			select {
			case <-time.After(50 * time.Millisecond): // out of descriptors, or the like: it passes or it stays
				continue
			case <-l.ctx.Done():
				return
			}
		}
		peer := l.cfg.PeerOf(conn)
		tracked, err := l.conns.add(conn, peer, true)
		if err != nil {
			conn.Close()
			continue
		}
		l.spawn("ledger connection", func() { serve(tracked) })
	}
}
