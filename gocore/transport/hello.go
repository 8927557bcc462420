// What both sides of a connection say first, on every plane: the version that they speak, the life and the ledger that they
// belong to. Versions that do not understand each other and swarms that are not one are refused here, by name.

package transport

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
)

// Version of everything that peers say to each other, on all planes and in records and messages.
type Version struct {
	Current uint16 // spoken
	Oldest  uint16 // still understood
}

// Spoken by this build. docs/decisions/versions.md says when to raise which.
var Spoken = Version{Current: 1, Oldest: 1}

func (v Version) understands(other Version) bool {
	return v.Current >= other.Oldest && other.Current >= v.Oldest
}

// LedgerID is a ledger's id in bytes; zero while none is known.
type LedgerID [16]byte

func (id LedgerID) String() string { return hex.EncodeToString(id[:]) }

// ParseLedgerID reads 32 hexadecimal characters.
func ParseLedgerID(text string) (id LedgerID, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("%q is not a ledger's id of 32 hexadecimal characters", text)
	}
	return LedgerID(b), nil
}

// VersionError: a member of the swarm answered that speaks another version.
type VersionError struct {
	Addr         string
	Ours, Theirs Version
}

func (e *VersionError) Error() string {
	older := "this peer"
	if e.Theirs.Current < e.Ours.Current {
		older = "that peer"
	}
	return fmt.Sprintf("%s speaks version %d of the protocol and understands %d and later, this peer speaks %d and understands %d and later: upgrade pyfl on %s",
		e.Addr, e.Theirs.Current, e.Theirs.Oldest, e.Ours.Current, e.Ours.Oldest, older)
}

// OtherSwarmError: the swarm key is the same, and the ledger another: two swarms were founded with one key.
type OtherSwarmError struct {
	Addr         string
	Ours, Theirs LedgerID
}

func (e *OtherSwarmError) Error() string {
	return fmt.Sprintf("%s belongs to another swarm with the same key (ledger %s), this peer to ledger %s; two swarms never merge: to move a peer, start it "+
		"with a new data directory and an address of the swarm to join", e.Addr, e.Theirs, e.Ours)
}

// greeting is what each side says. Its first four bytes have their meaning in every version.
type greeting struct {
	version Version
	life    Life
	ledger  LedgerID
}

const greetingSize = 4 + 8 + 16

func (g greeting) encode() []byte {
	b := binary.BigEndian.AppendUint16(make([]byte, 0, greetingSize), g.version.Current)
	b = binary.BigEndian.AppendUint16(b, g.version.Oldest)
	b = binary.BigEndian.AppendUint64(b, uint64(g.life))
	return append(b, g.ledger[:]...)
}

// receiveGreeting reads the other side's, and refuses what must not be joined.
func (t *T) receiveGreeting(c *Conn, addr string) error {
	var b [greetingSize]byte
	if _, err := io.ReadFull(c, b[:4]); err != nil {
		return err
	}
	theirs := Version{binary.BigEndian.Uint16(b[:]), binary.BigEndian.Uint16(b[2:])}
	if !t.config.Version.understands(theirs) {
		return &VersionError{Addr: addr, Ours: t.config.Version, Theirs: theirs}
	}
	if _, err := io.ReadFull(c, b[4:]); err != nil {
		return err
	}
	c.life = Life(binary.BigEndian.Uint64(b[4:]))
	t.mu.Lock()
	defer t.mu.Unlock()
	copy(c.ledger[:], b[12:])
	c.greeted = true
	if t.ledger.clashes(c.ledger) {
		return &OtherSwarmError{Addr: addr, Ours: t.ledger, Theirs: c.ledger}
	}
	return nil
}

func (id LedgerID) clashes(other LedgerID) bool {
	return id != LedgerID{} && other != LedgerID{} && id != other
}

func (t *T) greeting() greeting {
	t.mu.Lock()
	defer t.mu.Unlock()
	return greeting{t.config.Version, t.life, t.ledger}
}

// Belong says which ledger this node belongs to. Connections with members of another one end; so do gossip's with those
// that had none when they connected: they say anew which they have.
func (t *T) Belong(id LedgerID) {
	t.mu.Lock()
	if t.ledger == id {
		t.mu.Unlock()
		return
	}
	t.ledger = id
	foreign := t.matching(func(c *Conn) bool {
		return id.clashes(c.ledger) || c.greeted && c.plane == Member && c.ledger == (LedgerID{})
	})
	t.mu.Unlock()
	closeAll(foreign)
}
