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
	After    uint64 `msgpack:"a"`
}

// Refusals of a hello.
const (
	refusedHello   = "bad_hello"    // malformed, another protocol, or not who it says
	refusedServer  = "wrong_server" // that incarnation is gone
	refusedLedger  = "other_ledger"
	refusedEpoch   = "other_epoch"
	refusedMember  = "not_a_member" // Raft from a server outside the configuration
	refusedBusy    = "busy"
	refusedCommand = "bad_command"
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
	Committee committee `msgpack:"c"`
	Leader    string    `msgpack:"d"` // server, "" when unknown
	Term      uint64    `msgpack:"t"`
	Leads     bool      `msgpack:"m"`
	AgeMs     int64     `msgpack:"a"` // since the last contact with a leader; -1 never
	LastIndex uint64    `msgpack:"x"` // of its log
}

func (s status) check(peer PeerID) error {
	if !validServer(s.Server) || peerOf(s.Server) != peer {
		return fmt.Errorf("ledger: %.80q answers as a server of peer %s", s.Server, peer)
	}
	if s.Leader != "" && !validServer(s.Leader) || len(s.Ledger) > 64 {
		return fmt.Errorf("ledger: a status of %s is malformed", peer)
	}
	return s.Committee.check()
}

// refusal is a handshake that the other side declined.
type refusal struct {
	reason string
	peer   PeerID
	status status
}

func (r *refusal) Error() string {
	switch r.reason {
	case refusedServer:
		return fmt.Sprintf("ledger: peer %s runs another incarnation (%s) than the one called; its log was lost", r.peer, r.status.Server)
	case refusedLedger:
		return fmt.Sprintf("ledger: peer %s belongs to ledger %s, not to ours: two swarms were started; restart one of them with an address of the other to join", r.peer, r.status.Ledger)
	case refusedEpoch:
		return fmt.Sprintf("ledger: peer %s is in epoch %d of the ledger, this peer in another", r.peer, r.status.Epoch)
	}
	return fmt.Sprintf("ledger: peer %s refused: %.40s", r.peer, r.reason)
}

// introduce is the caller's half. It leaves the connection without a deadline.
func (l *Ledger) introduce(conn net.Conn, peer PeerID, h hello) (status, error) {
	f := l.stores.getFacts()
	h.Protocol, h.From, h.Ledger, h.Epoch = protocol, l.self, f.Ledger, f.Epoch
	if err := conn.SetDeadline(time.Now().Add(l.ioTimeout())); err != nil {
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
		return status{}, &refusal{w.Refused, peer, w.Status}
	}
	return w.Status, conn.SetDeadline(time.Time{})
}

// receiveHello is the called half up to the answer, which is left to the caller of this function.
func (l *Ledger) receiveHello(conn net.Conn, peer PeerID) (h hello, refused string, err error) {
	if err := conn.SetDeadline(time.Now().Add(l.ioTimeout())); err != nil {
		return h, "", err
	}
	if err := readFrame(conn, &h, maxHello); err != nil {
		return h, "", err
	}
	f := l.stores.getFacts()
	switch {
	case h.Protocol != protocol || !validServer(h.From) || peerOf(h.From) != peer:
		refused = refusedHello
	case h.To != "" && h.To != l.self:
		refused = refusedServer
	case h.Ledger != "" && f.Ledger != "" && h.Ledger != f.Ledger:
		refused = refusedLedger
	case h.Ledger != "" && f.Ledger != "" && h.Epoch != f.Epoch:
		refused = refusedEpoch
	}
	return h, refused, nil
}

// adopt makes a ledger ours: the first one that this peer, having none, hears of.
func (l *Ledger) adopt(ledger string, epoch uint64) error {
	l.adopting.Lock()
	defer l.adopting.Unlock()
	f := l.stores.getFacts()
	switch {
	case ledger == "" || f.Ledger == ledger && f.Epoch == epoch:
		return nil
	case f.Ledger == "":
	case f.Ledger == ledger && epoch > f.Epoch && len(l.latestServers()) == 0:
		l.view.restart() // a watcher follows a recovered ledger; an old voter would undo the recovery
	default:
		return fmt.Errorf("ledger: this peer belongs to ledger %s epoch %d, not %.64s epoch %d", f.Ledger, f.Epoch, ledger, epoch)
	}
	f.Ledger, f.Epoch = ledger, epoch
	if err := l.stores.setFacts(f); err != nil {
		return err
	}
	l.standing.touch()
	return nil
}
