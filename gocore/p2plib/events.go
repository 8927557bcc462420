// What happens, one type a kind, and how each is encoded for the C interface: include/p2plib.h has the fields.

package p2plib

import (
	"github.com/vmihailenco/msgpack/v5"

	"pyfl/gocore/identity"
)

// PeerID names a peer.
type PeerID = identity.PeerID

// Event is one of the types below.
type Event interface{ Kind() string }

// PeerInfo is a live member.
type PeerInfo struct {
	Peer     PeerID            `msgpack:"peer"`
	Name     string            `msgpack:"name"`
	Address  string            `msgpack:"address"`
	Labels   map[string]string `msgpack:"labels"`
	Meta     []byte            `msgpack:"meta"`
	Eligible bool              `msgpack:"eligible"`
	Via      PeerID            `msgpack:"via"` // who passes its connections on; "" when they are straight
}

// The events; include/p2plib.h says when each happens.
type (
	PeerUp     struct{ PeerInfo }
	PeerUpdate struct{ PeerInfo }
	PeerDown   struct {
		Peer      PeerID `msgpack:"peer"`
		Reason    string `msgpack:"reason"`
		Confirmed bool   `msgpack:"confirmed"`
	}
	LinkDown struct {
		Peer PeerID `msgpack:"peer"`
	}
	LinkRoute struct {
		Peer PeerID `msgpack:"peer"`
		Via  PeerID `msgpack:"via"`
	}
	Joined struct {
		Address string `msgpack:"address"`
	}
	JoinFailure struct {
		Address string `msgpack:"address"`
		Error   string `msgpack:"error"`
		Refused bool   `msgpack:"refused"`
	}
	JoinFailed struct {
		Failures []JoinFailure `msgpack:"failures"`
	}
	Message struct {
		Peer    PeerID `msgpack:"peer"`
		Tag     []byte `msgpack:"tag"`
		Payload []byte `msgpack:"payload"`
	}
	// Transferred is how a posted transfer ended.
	Transferred struct {
		Transfer int64  `msgpack:"transfer"`
		Peer     PeerID `msgpack:"peer"`
		Tag      []byte `msgpack:"tag"`
		OK       bool   `msgpack:"ok"`
		Error    string `msgpack:"error"`
		Bytes    int    `msgpack:"bytes"`
	}
	Sent     struct{ Transferred }
	Received struct{ Transferred }
	Record   struct {
		Key     string `msgpack:"key"`
		Version uint64 `msgpack:"version"`
		Index   uint64 `msgpack:"index"`
		Value   []byte `msgpack:"value"`
	}
	WriteDone struct {
		Request int64  `msgpack:"request"`
		OK      bool   `msgpack:"ok"`
		Error   string `msgpack:"error"`
	}
	BarrierDone struct {
		Request int64  `msgpack:"request"`
		OK      bool   `msgpack:"ok"`
		Error   string `msgpack:"error"`
	}
	Leader struct {
		Leader PeerID `msgpack:"leader"`
		Me     bool   `msgpack:"me"`
		Term   uint64 `msgpack:"term"`
	}
	Committee struct {
		Voters []PeerID `msgpack:"voters"`
		Ledger string   `msgpack:"ledger"`
		Epoch  uint64   `msgpack:"epoch"`
	}
	LedgerLost struct {
		AgeMs int64 `msgpack:"age_ms"`
	}
	LedgerFound struct{}
	Wake        struct {
		Payload []byte `msgpack:"payload"`
	}
	Fault struct {
		Where string `msgpack:"where"`
		Error string `msgpack:"error"`
	}
)

func (PeerUp) Kind() string      { return "peer_up" }
func (PeerUpdate) Kind() string  { return "peer_update" }
func (PeerDown) Kind() string    { return "peer_down" }
func (LinkDown) Kind() string    { return "link_down" }
func (LinkRoute) Kind() string   { return "link_route" }
func (Joined) Kind() string      { return "joined" }
func (JoinFailed) Kind() string  { return "join_failed" }
func (Message) Kind() string     { return "message" }
func (Sent) Kind() string        { return "sent" }
func (Received) Kind() string    { return "received" }
func (Record) Kind() string      { return "record" }
func (WriteDone) Kind() string   { return "write_done" }
func (BarrierDone) Kind() string { return "barrier_done" }
func (Leader) Kind() string      { return "leader" }
func (Committee) Kind() string   { return "committee" }
func (LedgerLost) Kind() string  { return "ledger_lost" }
func (LedgerFound) Kind() string { return "ledger_found" }
func (Wake) Kind() string        { return "wake" }
func (Fault) Kind() string       { return "fault" }

// present makes an absent value an empty one: MessagePack tells them apart, and readers expect bytes.
func present(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Encode gives an event as a MessagePack map with its kind. Structs encode as a map of less than 16 entries, whose
// header is one byte that counts them: the kind is put in as the first.
func Encode(event Event) ([]byte, error) {
	body, err := msgpack.Marshal(event)
	if err != nil {
		return nil, err
	}
	kind := event.Kind()
	out := make([]byte, 0, len(body)+6+len(kind))
	out = append(out, body[0]+1, 0xa0|4)
	out = append(out, "kind"...)
	out = append(out, 0xa0|byte(len(kind)))
	out = append(out, kind...)
	return append(out, body[1:]...), nil
}
