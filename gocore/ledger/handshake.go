// The first frames of every connection of the ledger: who calls, whom it wants, which ledger and epoch. Nothing else
// passes before both sides agree, so two swarms cannot merge and a wiped voter cannot speak in its old name.

package ledger

import (
	"fmt"
	"net"
	"time"
)

const protocol = 1

// Kinds of connections. kindRaft is alone on its plane, the others share the watch plane.
const (
	kindRaft     = "raft"
	kindWatch    = "watch"     // records above After, from now on
	kindAsk      = "ask"       // the status, once
	kindCaughtUp = "caught_up" // the status, once the log reaches After
	kindWrite    = "write"     // one command for the leader follows
	kindLeave    = "leave"     // the caller wants to stop voting
)

type hello struct {
	Protocol int    `msgpack:"p"`
	Kind     string `msgpack:"k"`
	From     string `msgpack:"f"` // the caller's server
	To       string `msgpack:"t"` // the server it wants; "" is any of that peer
	Ledger   string `msgpack:"l"` // "" when it has none yet
	Epoch    uint64 `msgpack:"e"`
	Recovery string `msgpack:"r"`
	After    uint64 `msgpack:"a"`
}

func (h hello) lineage() lineage { return lineage{h.Ledger, h.Epoch, h.Recovery} }

// Refusals of a hello.
const (
	refusedHello    = "bad_hello"    // malformed, another protocol, or not who it says
	refusedServer   = "wrong_server" // that incarnation is gone
	refusedLedger   = "other_ledger"
	refusedEpoch    = "other_epoch"
	refusedRecovery = "other_recovery" // the same epoch, made twice
	refusedMember   = "not_a_member"   // Raft from a server outside the configuration
)

// welcome answers a hello, and is all there is when Refused is set.
type welcome struct {
	Refused string `msgpack:"r"`
	Status  status `msgpack:"s"`
}

// status is what a node tells others of itself and of the ledger as it sees it.
type status struct {
	Server    string    `msgpack:"i"`
	Ledger    string    `msgpack:"l"`
	Epoch     uint64    `msgpack:"e"`
	Recovery  string    `msgpack:"r"`
	Committee committee `msgpack:"c"`
	Leader    string    `msgpack:"d"` // server, "" when unknown
	Term      uint64    `msgpack:"t"`
	Leads     bool      `msgpack:"m"`
	AgeMs     int64     `msgpack:"a"` // since the last contact with a leader; -1 never
	LastIndex uint64    `msgpack:"x"` // of its log
	Seen      uint64    `msgpack:"w"` // every record up to it is known there, from a log or a watch
}

func (s status) lineage() lineage { return lineage{s.Ledger, s.Epoch, s.Recovery} }

func (s status) check(peer PeerID) error {
	if !validServer(s.Server) || peerOf(s.Server) != peer {
		return fmt.Errorf("ledger: %.80q answers as a server of peer %s", s.Server, peer)
	}
	if s.Leader != "" && !validServer(s.Leader) || s.lineage().check() != nil {
		return fmt.Errorf("ledger: a status of %s is malformed", peer)
	}
	return s.Committee.check()
}

// refusal is a handshake that the other side declined.
type refusal struct {
	reason string
	peer   PeerID
	own    lineage
	status status
}

func (r *refusal) Error() string {
	switch r.reason {
	case refusedServer:
		return fmt.Sprintf("ledger: peer %s runs another incarnation (%s) than the one called; its log was lost", r.peer, r.status.Server)
	case refusedLedger:
		return fmt.Sprintf("ledger: peer %s belongs to ledger %s, not to ours: two swarms were started; restart one of them with an address of the other to join", r.peer, r.status.Ledger)
	case refusedEpoch:
		older, newer := "this peer", "peer "+r.peer
		if r.own.Epoch > r.status.Epoch {
			older, newer = newer, older
		}
		return fmt.Sprintf("ledger: %s is in epoch %d of the ledger, %s in epoch %d: its committee was recovered by an operator meanwhile, and the older epoch cannot undo that. "+
			"If %s does not follow by itself, stop it, move the ledger folder of its data directory away and start it again", newer, max(r.own.Epoch, r.status.Epoch), older, min(r.own.Epoch, r.status.Epoch), older)
	case refusedRecovery:
		return fmt.Sprintf("ledger: peer %s and this peer are both in epoch %d of the ledger, from two recoveries (%s and %s): two peers were recovered. "+
			"Choose one; stop the others, move the ledger folder of their data directories away and start them again", r.peer, r.own.Epoch, r.status.Recovery, r.own.Recovery)
	}
	return fmt.Sprintf("ledger: peer %s refused: %.40s", r.peer, r.reason)
}

// introduce is the caller's half. It leaves the connection without a deadline.
func (l *Ledger) introduce(conn net.Conn, peer PeerID, h hello) (status, error) {
	own := l.stores.getFacts().lineage()
	h.From = l.self
	st, err := sayHello(conn, peer, own, h, l.ioTimeout())
	if err != nil {
		return status{}, err
	}
	return st, conn.SetDeadline(time.Time{})
}

// sayHello also for a caller without a ledger. The deadline stays on the connection.
func sayHello(conn net.Conn, peer PeerID, own lineage, h hello, timeout time.Duration) (status, error) {
	h.Protocol, h.Ledger, h.Epoch, h.Recovery = protocol, own.Ledger, own.Epoch, own.Recovery
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return status{}, err
	}
	if err := writeFrame(conn, &h); err != nil {
		return status{}, err
	}
	var w welcome
	if err := readFrame(conn, &w, maxHead); err != nil {
		return status{}, err
	}
	if err := w.Status.check(peer); err != nil {
		return status{}, err
	}
	if w.Refused != "" {
		return status{}, &refusal{w.Refused, peer, own, w.Status}
	}
	return w.Status, nil
}

// receiveHello is the called half up to the answer, which is left to the caller of this function.
func (l *Ledger) receiveHello(conn net.Conn, peer PeerID) (h hello, refused string, err error) {
	if err := conn.SetDeadline(time.Now().Add(l.ioTimeout())); err != nil {
		return h, "", err
	}
	if err := readFrame(conn, &h, maxHello); err != nil {
		return h, "", err
	}
	own := l.stores.getFacts().lineage()
	switch {
	case h.Protocol != protocol || !validServer(h.From) || peerOf(h.From) != peer || h.lineage().check() != nil:
		refused = refusedHello
	case own.clash(h.lineage()) != "":
		refused = own.clash(h.lineage())
		l.meet(peer, h.lineage())
	case h.To != "" && h.To != l.self:
		refused = refusedServer
	}
	return h, refused, nil
}
