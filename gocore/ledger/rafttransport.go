// Raft's network transport with two additions: a vote asked for over a connection that died while pooled is asked
// for again, and calls that would crash or mislead Raft are refused.

package ledger

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
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
			if t.grantUnlisted(rpc) {
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
		if t.l.leads() {
			return errors.New("ledger: called to an election while leading")
		}
	}
	return nil
}

// grantUnlisted lets a candidate be elected whom this server's log does not list as a voter because the log is behind.
// Raft proper votes without consulting its own configuration; this implementation does not, and wedges when a leader
// dies before its last promotion reached a follower that the new majority needs. A candidate whose log is strictly
// ahead of ours cannot be one that we know to be removed. It answers a pre-vote itself (true) and passes a vote on
// without the candidate's id, which Raft then does not look up; the rules of terms and logs hold as ever.
func (t *raftTransport) grantUnlisted(rpc raft.RPC) bool {
	r := t.l.raft.Load()
	if r == nil {
		return false
	}
	switch call := rpc.Command.(type) {
	case *raft.RequestVoteRequest:
		if t.unlistedButAhead(r, call.ID, call.LastLogTerm, call.LastLogIndex) {
			call.ID = nil
		}
	case *raft.RequestPreVoteRequest:
		if !t.unlistedButAhead(r, call.ID, call.LastLogTerm, call.LastLogIndex) || call.Term < r.CurrentTerm() {
			return false
		}
		if _, leader := r.LeaderWithID(); leader != "" && string(leader) != string(call.ID) {
			return false
		}
		rpc.Respond(nil, errNoPreVote)
		return true
	}
	return false
}

// errNoPreVote has the text by which Raft knows servers without pre-votes, which count as granting it.
var errNoPreVote = errors.New("unexpected command")

func (t *raftTransport) unlistedButAhead(r *raft.Raft, candidate []byte, term, index uint64) bool {
	own := t.l.latestServers()
	if _, voter := (committee{Servers: own}).has(string(candidate)); voter || len(own) == 0 || len(candidate) == 0 {
		return false
	}
	stats := r.Stats()
	number := func(key string) uint64 {
		n, _ := strconv.ParseUint(stats[key], 10, 64) // always a number
		return n
	}
	ownIndex, ownTerm := number("last_log_index"), number("last_log_term")
	if snap := number("last_snapshot_index"); snap > ownIndex {
		ownIndex, ownTerm = snap, number("last_snapshot_term")
	}
	return term > ownTerm || term == ownTerm && index > ownIndex
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
