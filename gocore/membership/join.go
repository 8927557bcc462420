// Finding the others, and finding them again: seeds and known addresses, with pauses, for ever.

package membership

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"pyfl/gocore/transport"
)

const (
	firstPause = 250 * time.Millisecond
	longPause  = 10 * time.Second
	joinDial   = 3 * time.Second
	// Known peers that are down and did not leave are asked now and then, so that two halves of a split swarm, which
	// gossip forgets after 30 s, find each other. A few at a time.
	perRound = 3
)

// joinLoop joins, and goes on looking for peers that are known or configured and not up.
func (m *M) joinLoop() {
	started, joined, reported := time.Now(), false, len(m.config.Join) == 0
	pause := firstPause
	for {
		failures := m.joinRound(&joined)
		if joined {
			reported = true
		}
		if !reported && time.Since(started) >= m.config.JoinTimeout {
			reported = true
			m.mu.Lock()
			m.emit(JoinFailed{failures})
			m.mu.Unlock()
		}
		pause = min(2*pause, longPause)
		if m.urgent() {
			pause = firstPause
		}
		wait := pause/2 + rand.N(pause)
		if !reported {
			wait = min(wait, max(m.config.JoinTimeout-time.Since(started), 0)+time.Millisecond)
		}
		switch m.rest(wait) {
		case restClosed:
			return
		case restHurried:
			pause = firstPause
		case restStalled:
			// This process stood still (SIGSTOP, suspend): the others have given it up. Tell them at once.
			m.rejoinAll()
			pause = firstPause
		}
	}
}

type restEnd int

const (
	restOver restEnd = iota
	restClosed
	restHurried
	restStalled
)

const (
	heartbeat = 500 * time.Millisecond
	stalled   = 3 * time.Second // a heartbeat that late means that the process did not run
)

// rest waits, and sees whether the process itself stood still meanwhile.
func (m *M) rest(wait time.Duration) restEnd {
	over := time.After(wait)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	last := time.Now()
	for {
		select {
		case <-m.ctx.Done():
			return restClosed
		case <-m.hurry:
			return restHurried
		case <-over:
			return restOver
		case <-beat.C:
			now := time.Now()
			if now.Sub(last) > stalled {
				return restStalled
			}
			last = now
		}
	}
}

// urgent: somebody moved, and gossip will take its new address once the old one is known to be dead.
func (m *M) urgent() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.places) > 0
}

// target is a place where a member may be.
type target struct {
	name string // as configured, for people
	addr string // ip:port
	peer PeerID // "" for whoever is there
}

func (m *M) joinRound(joined *bool) []Failure {
	var failures []Failure
	targets, failed := m.targets()
	failures = append(failures, failed...)
	for _, t := range targets {
		if m.ctx.Err() != nil {
			return failures
		}
		err := m.join(t)
		if errors.Is(err, errSelf) {
			continue
		}
		if err == nil {
			if !*joined {
				*joined = true
				m.mu.Lock()
				m.emit(Joined{t.name})
				m.mu.Unlock()
			}
			continue
		}
		failures = append(failures, Failure{Address: t.label(), Error: err.Error(), Refused: transport.Refused(err)})
	}
	return failures
}

func (t target) label() string {
	if t.name == t.addr {
		return t.addr
	}
	return fmt.Sprintf("%s (%s)", t.name, t.addr)
}

// targets are the addresses worth a try now: those of seeds and of known peers where nobody is up.
func (m *M) targets() ([]target, []Failure) {
	m.mu.Lock()
	if m.leaving || m.closed {
		m.mu.Unlock()
		return nil, nil
	}
	occupied := map[string]bool{m.self.Addr: true, m.config.Transport.Addr(): true}
	var known []target
	alone := true
	for id, e := range m.table.entries {
		switch {
		case e.up:
			occupied[e.member.Addr] = true
			alone = false
		case !e.left:
			known = append(known, target{e.member.Addr, e.member.Addr, ""})
		}
		for place, peer := range m.places {
			if peer == id && e.up && e.member.Addr == place {
				delete(m.places, place)
			}
		}
	}
	for place, peer := range m.places {
		known = append(known, target{place, place, peer})
	}
	m.mu.Unlock()

	targets, failures := m.seeds(occupied)
	rand.Shuffle(len(known), func(i, j int) { known[i], known[j] = known[j], known[i] })
	for _, t := range known {
		if occupied[t.addr] {
			continue
		}
		if !alone && len(targets) >= perRound {
			break
		}
		occupied[t.addr] = true
		targets = append(targets, t)
	}
	return targets, failures
}

func (m *M) seeds(occupied map[string]bool) ([]target, []Failure) {
	var targets []target
	var failures []Failure
	for _, name := range m.config.Join {
		host, port, err := net.SplitHostPort(name)
		if err != nil {
			failures = append(failures, Failure{Address: name, Error: err.Error()})
			continue
		}
		addresses, err := lookup(m.ctx, host)
		if err != nil {
			failures = append(failures, Failure{Address: name, Error: err.Error()})
			continue
		}
		for _, ip := range addresses {
			addr := net.JoinHostPort(ip, port)
			if !occupied[addr] {
				occupied[addr] = true
				targets = append(targets, target{name, addr, ""})
			}
		}
	}
	return targets, failures
}

// lookup gives every address of a name. Go's own resolver ends with ctx; the C library's would not.
func lookup(ctx context.Context, host string) ([]string, error) {
	if net.ParseIP(host) != nil {
		return []string{host}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, joinDial)
	defer cancel()
	return (&net.Resolver{PreferGo: true}).LookupHost(ctx, host)
}

var errSelf = errors.New("this is the node's own address")

// join exchanges states with the member at an address. The dial before it learns who is there, and why not if nobody is.
func (m *M) join(t target) error {
	ctx, cancel := context.WithTimeout(m.ctx, joinDial)
	defer cancel()
	conn, err := m.config.Transport.Dial(ctx, t.addr, transport.Member, t.peer)
	if err != nil {
		return err
	}
	peer := conn.Peer()
	_ = conn.Close()
	if peer == m.config.Transport.Self() {
		return errSelf
	}
	_, err = m.list.Join([]string{peer + "/" + t.addr})
	return err
}

// rejoinAll exchanges states with members that were up before this process stood still.
func (m *M) rejoinAll() {
	for i, member := range m.Members() {
		if i == perRound {
			return
		}
		// A failure is found by the probes too.
		_ = m.join(target{member.Addr, member.Addr, member.ID})
	}
}
