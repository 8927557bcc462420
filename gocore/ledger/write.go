// Writes and barriers: on the leader through Raft, elsewhere by a call to the leader. A repeat keeps its nonce.

package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// maxOutstanding bounds writes and barriers under way, each a goroutine.
const maxOutstanding = 1024

// ErrFull: too many writes and barriers are under way; wait for their events.
var ErrFull = errors.New("ledger: 1024 writes are under way, expected fewer; wait for their events")

// begin reserves a request; the returned function releases it.
func (l *Ledger) begin() (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return 0, ErrClosed
	}
	if l.outstanding >= maxOutstanding {
		return 0, ErrFull
	}
	l.outstanding++
	l.lastRequest++
	return l.lastRequest, nil
}

func (l *Ledger) end(event any) {
	l.mu.Lock()
	l.outstanding--
	l.mu.Unlock()
	l.events.emit(event)
}

// Write compares and sets records, all or none; it returns at once and ends in a WriteDone event with the returned
// request number. On the leader any key may be written; elsewhere only keys that start with "control".
func (l *Ledger) Write(ops []Op) (request int64, err error) {
	data, err := encodeCommand(newNonce(), ops)
	if err != nil {
		return 0, err
	}
	control := onlyControl(ops)
	if request, err = l.begin(); err != nil {
		return 0, err
	}
	started := l.spawn("write", func() {
		result := Lost // also of a write that panics
		defer func() { l.end(WriteDone{request, result}) }()
		result = l.write(data, control)
	})
	if !started {
		return 0, ErrClosed
	}
	return request, nil
}

func (l *Ledger) write(data []byte, control bool) WriteError {
	deadline := time.Now().Add(l.cfg.WriteTimeout)
	result := NotLeader // until something was sent
	for {
		changed := l.standing.changed.wait()
		leader := l.standing.leaderServer()
		switch {
		case l.leads():
			if control && l.cfg.MayControl != nil && !l.cfg.MayControl(l.cfg.Self) {
				return Denied
			}
			if e := l.apply(data, deadline); e != NotLeader || !control {
				if !control || e != Lost && e != Timeout {
					return e
				}
				result = e
			}
		case !control:
			return Denied
		case leader != "" && peerOf(leader) != l.cfg.Self:
			e, err := l.forward(peerOf(leader), data, deadline)
			if err == nil && (e == OK || e == Conflict || e == Denied) {
				return e
			}
			if err != nil {
				l.log.Debug("forwarding a write", "leader", leader, "error", err)
				e = Timeout // it may have arrived
			}
			if e != NotLeader {
				result = e
			}
		}
		left := time.Until(deadline)
		if l.ctx.Err() != nil {
			return Lost
		}
		if left <= 0 {
			return result
		}
		l.pause(changed, min(left, l.cfg.Heartbeat/8))
	}
}

// apply runs a command through Raft on the leader.
func (l *Ledger) apply(data []byte, deadline time.Time) WriteError {
	future := l.raft.Load().Apply(data, time.Until(deadline))
	err, ended := l.await(future, deadline)
	if !ended {
		return Timeout
	}
	if err == nil {
		if result, ok := future.Response().(WriteError); ok {
			return result
		}
		return Lost
	}
	return writeErrorOf(err)
}

func writeErrorOf(err error) WriteError {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return NotLeader
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return Timeout
	}
	return Lost
}

// await waits for a future. Raft leaves one unanswered when it shuts down between commit and apply, so the wait is
// also for the end of Raft.
func (l *Ledger) await(future raft.Future, deadline time.Time) (err error, ended bool) {
	answered := make(chan error, 1)
	go func() { answered <- future.Error() }()
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case err := <-answered:
		return err, true
	case <-timer.C:
		return nil, false
	case <-l.raftEnded:
		return raft.ErrRaftShutdown, true
	}
}

// forward sends a write to the leader and waits for its answer.
func (l *Ledger) forward(leader PeerID, data []byte, deadline time.Time) (WriteError, error) {
	ctx, cancel := context.WithDeadline(l.ctx, deadline)
	defer cancel()
	conn, err := l.dial(ctx, leader, PlaneWatch)
	if err != nil {
		return NotLeader, nil // nothing was sent
	}
	defer conn.Close()
	if _, err := l.introduce(conn, leader, hello{Kind: kindWrite}); err != nil {
		return NotLeader, nil
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return NotLeader, nil
	}
	if err := writeRawFrame(conn, data); err != nil {
		return "", err
	}
	var reply writeReply
	if err := readFrame(conn, &reply, maxHello); err != nil {
		return "", err
	}
	switch reply.Error {
	case OK, Conflict, NotLeader, Denied, Timeout, Lost:
		return reply.Error, nil
	}
	return "", fmt.Errorf("ledger: the leader answers a write with %.40q", reply.Error)
}

// Barrier (leader only) ends in a BarrierDone event, after the records of everything committed before the call.
func (l *Ledger) Barrier() (request int64, err error) {
	if request, err = l.begin(); err != nil {
		return 0, err
	}
	started := l.spawn("barrier", func() {
		result := Lost
		defer func() { l.end(BarrierDone{request, result}) }()
		if !l.leads() {
			result = NotLeader
			return
		}
		deadline := time.Now().Add(l.cfg.WriteTimeout)
		err, ended := l.await(l.raft.Load().Barrier(l.cfg.WriteTimeout), deadline)
		switch {
		case !ended:
			result = Timeout
		case err == nil:
			result = OK
		default:
			result = writeErrorOf(err)
		}
	})
	if !started {
		return 0, ErrClosed
	}
	return request, nil
}
