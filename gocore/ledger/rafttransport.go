// Raft's network transport with two additions: a vote asked for over a connection that died while pooled is asked
// for again, and calls that would crash or mislead Raft are refused.

package ledger

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/hashicorp/raft"
)

const pooledConns = 2

type raftTransport struct {
	*raft.NetworkTransport
	l     *Ledger
	calls chan raft.RPC
}

var (
	_ raft.Transport   = (*raftTransport)(nil)
	_ raft.WithPreVote = (*raftTransport)(nil)
	_ raft.WithClose   = (*raftTransport)(nil)
)

func (t *raftTransport) Consumer() <-chan raft.RPC { return t.calls }

// again repeats a call whose pooled connection was found dead: each failure removes one from the pool.
func again(call func() error) (err error) {
	for range pooledConns + 1 {
		if err = call(); err == nil || !brokenConn(err) {
			return err
		}
	}
	return err
}

func brokenConn(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func (t *raftTransport) RequestVote(id raft.ServerID, target raft.ServerAddress, q *raft.RequestVoteRequest, a *raft.RequestVoteResponse) error {
	return again(func() error { return t.NetworkTransport.RequestVote(id, target, q, a) })
}

func (t *raftTransport) RequestPreVote(id raft.ServerID, target raft.ServerAddress, q *raft.RequestPreVoteRequest, a *raft.RequestPreVoteResponse) error {
	return again(func() error { return t.NetworkTransport.RequestPreVote(id, target, q, a) })
}

func (t *raftTransport) TimeoutNow(id raft.ServerID, target raft.ServerAddress, q *raft.TimeoutNowRequest, a *raft.TimeoutNowResponse) error {
	return again(func() error { return t.NetworkTransport.TimeoutNow(id, target, q, a) })
}

// guard passes the calls on that are sound.
func (t *raftTransport) guard() {
	for {
		select {
		case rpc := <-t.NetworkTransport.Consumer():
			if err := t.check(rpc); err != nil {
				t.l.fault("ledger call", err)
				rpc.Respond(nil, err)
				continue
			}
			select {
			case t.calls <- rpc:
			case <-t.l.ctx.Done():
				return
			}
		case <-t.l.ctx.Done():
			return
		}
	}
}

func (t *raftTransport) check(rpc raft.RPC) error {
	switch call := rpc.Command.(type) {
	case *raft.AppendEntriesRequest:
		for _, entry := range call.Entries {
			if entry == nil {
				return errors.New("ledger: an empty entry was sent")
			}
			if err := checkEntry(entry); err != nil {
				return err
			}
		}
	case *raft.InstallSnapshotRequest:
		if call.Size < 0 || call.Size > maxBetweenAnswers {
			return fmt.Errorf("ledger: a snapshot of %d bytes was sent, expected at most %d", call.Size, maxBetweenAnswers)
		}
		return checkConfiguration(call.Configuration)
	case *raft.TimeoutNowRequest:
		// A server without a vote that campaigns only raises the term of the others.
		if !t.l.votes() {
			return errors.New("ledger: called to an election without a vote in it")
		}
	}
	return nil
}

func checkEntry(entry *raft.Log) error {
	switch entry.Type {
	case raft.LogCommand, raft.LogNoop, raft.LogBarrier:
		if len(entry.Data) > maxCommand {
			return fmt.Errorf("ledger: an entry of %d bytes was sent, expected at most %d", len(entry.Data), maxCommand)
		}
		return nil
	case raft.LogConfiguration:
		return checkConfiguration(entry.Data)
	}
	return fmt.Errorf("ledger: an entry of type %d was sent, which this ledger does not use", entry.Type)
}

// checkConfiguration: Raft panics on one that it cannot decode.
func checkConfiguration(data []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("ledger: a configuration was sent that cannot be decoded: %v", r)
		}
	}()
	if len(data) > maxHead {
		return fmt.Errorf("ledger: a configuration of %d bytes was sent, expected at most %d", len(data), maxHead)
	}
	return committeeOf(0, raft.DecodeConfiguration(data)).check()
}
