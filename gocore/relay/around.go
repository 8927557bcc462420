// Finding a way around: which members are asked, in which order, and what their answers mean together.

package relay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"pyfl/gocore/transport"
)

const (
	maxAsked  = 3
	askBudget = 1500 * time.Millisecond // for one member's answer
	askNext   = 300 * time.Millisecond  // then the next one is asked as well
)

var errNoRelay = errors.New("no member can pass connections on to it")

// Around implements transport.Detour. Of the members' answers the first connection counts. That the peer is gone takes
// the word of one and no other's connection: each is given askNext to contradict.
func (r *R) Around(ctx context.Context, peer PeerID, addr string) (net.Conn, error) {
	if r.isBarren(peer, addr) {
		return nil, errNoRelay
	}
	limited, cancel := context.WithTimeout(ctx, 2*askBudget)
	defer cancel()
	conn, err := r.ask(limited, peer, addr, r.candidates(peer))
	switch {
	case err == nil:
		r.bend(peer, addr, conn.Peer())
		return conn, nil
	case transport.Gone(err) || ctx.Err() != nil: // that the caller had no more time says nothing
	default:
		r.setBarren(peer, addr)
	}
	return nil, err
}

// candidates are the members to ask. The order is the same at both ends and another for every pair, so that the pairs
// of a split network are spread over those in the middle. Whoever is reached around itself comes last.
func (r *R) candidates(target PeerID) []PeerID {
	self := r.config.Transport.Self()
	first, second := min(self, target), max(self, target)
	type ranked struct {
		peer PeerID
		bent bool
		rank [sha256.Size]byte
	}
	var all []ranked
	for _, peer := range r.config.Members() {
		if peer != target && peer != self {
			all = append(all, ranked{peer, r.Via(peer) != "", sha256.Sum256([]byte(first + second + peer))})
		}
	}
	slices.SortFunc(all, func(a, b ranked) int {
		if a.bent != b.bent {
			if a.bent {
				return 1
			}
			return -1
		}
		return bytes.Compare(a.rank[:], b.rank[:])
	})
	peers := make([]PeerID, 0, maxAsked)
	for _, c := range all[:min(len(all), maxAsked)] {
		peers = append(peers, c.peer)
	}
	return peers
}

type reply struct {
	conn *transport.Conn
	err  error
}

// ask asks one member after the other, the next one as soon as one fails or does not answer at once.
func (r *R) ask(ctx context.Context, peer PeerID, addr string, candidates []PeerID) (*transport.Conn, error) {
	if len(candidates) == 0 {
		return nil, errNoRelay
	}
	ctx, cancel := context.WithCancel(ctx)
	replies := make(chan reply, len(candidates))
	asked, answered := 0, 0
	defer func() {
		cancel()
		for ; answered < asked; answered++ { // late ones
			if late := <-replies; late.conn != nil {
				_ = late.conn.Close()
			}
		}
	}()
	next := func() {
		via := candidates[asked]
		asked++
		go func() {
			conn, err := r.open(ctx, peer, addr, via)
			replies <- reply{conn, err}
		}()
	}
	var gone error
	failed := errNoRelay
	next()
	timer := time.NewTimer(askNext)
	defer timer.Stop()
	for answered < asked {
		select {
		case got := <-replies:
			answered++
			if got.err == nil {
				return got.conn, nil
			}
			if transport.Gone(got.err) {
				gone = got.err
			} else {
				failed = got.err
			}
		case <-timer.C:
			if gone != nil {
				return nil, gone
			}
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), failed)
		}
		if asked < len(candidates) && !(gone != nil && asked > 1) {
			next()
		}
		timer.Reset(askNext)
	}
	if gone != nil {
		return nil, gone
	}
	return nil, fmt.Errorf("%w: %w", errNoRelay, failed)
}

// open asks one member.
func (r *R) open(ctx context.Context, peer PeerID, addr string, via PeerID) (*transport.Conn, error) {
	frame, err := encodeOpen(peer, addr)
	if err != nil {
		return nil, err
	}
	at, _, ok := r.config.Resolve(via)
	if !ok {
		return nil, errNoRelay
	}
	ctx, cancel := context.WithTimeout(ctx, askBudget)
	defer cancel()
	conn, err := r.config.Transport.DialStraight(ctx, at, transport.Relay, via)
	if err != nil {
		var refused *transport.WrongPeerError
		if transport.Gone(err) || errors.As(err, &refused) {
			return nil, fmt.Errorf("relay %s is gone: %s", via, err.Error()) // says nothing of the peer
		}
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	if _, err = conn.Write(frame); err == nil {
		err = readAnswer(conn, peer, addr, via)
	}
	if err == nil && !stop() {
		err = ctx.Err()
	}
	if err != nil {
		stop()
		_ = conn.Close()
		return nil, err
	}
	return conn, conn.SetDeadline(time.Time{})
}
