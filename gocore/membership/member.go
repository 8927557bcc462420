// Package membership knows who is here: hashicorp/memberlist over the transport, goodbyes, and what broken connections tell.
package membership

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"

	"github.com/hashicorp/memberlist"
	"github.com/vmihailenco/msgpack/v5"

	"pyfl/gocore/identity"
	"pyfl/gocore/transport"
)

// PeerID names a peer.
type PeerID = identity.PeerID

// Member is one peer as the others see it.
type Member struct {
	ID       PeerID
	Name     string
	Addr     string // ip:port
	Labels   map[string]string
	Meta     []byte
	Eligible bool // may become a voter
	Founded  bool // knows a ledger
	Life     transport.Life

	nominal string // ip:port by which memberlist knows it: where this life began
}

func (m Member) equal(other Member) bool {
	return m.ID == other.ID && m.Name == other.Name && m.Addr == other.Addr && maps.Equal(m.Labels, other.Labels) &&
		slices.Equal(m.Meta, other.Meta) && m.Eligible == other.Eligible && m.Founded == other.Founded && m.Life == other.Life
}

// Bounds of what a peer tells about itself; gossip carries 512 bytes for each.
const (
	MaxName   = 64
	MaxLabels = 200 // bytes of all keys and values
	MaxMeta   = 256
)

// ErrArgument: what was to be announced is too large.
var ErrArgument = errors.New("does not fit what gossip can carry")

// card is a member's metadata on the wire.
type card struct {
	//lint:ignore U1000 msgpack finds it by reflection
	_msgpack struct{} `msgpack:",as_array"`
	Version  uint8
	Life     uint64
	Name     string
	Labels   map[string]string
	Meta     []byte
	Eligible bool
	Founded  bool
	Place    []byte // where it is, when that is not where gossip's own field says; as netip.AddrPort
}

const cardVersion = 1

// DecodeMsgpack reads the fields that this version knows: a neighbouring one may have more at the end, or fewer.
func (c *card) DecodeMsgpack(d *msgpack.Decoder) error {
	n, err := d.DecodeArrayLen()
	if err != nil {
		return err
	}
	known := []any{&c.Version, &c.Life, &c.Name, &c.Labels, &c.Meta, &c.Eligible, &c.Founded, &c.Place}
	for i, field := range known {
		if i >= n {
			return nil
		}
		if err := d.Decode(field); err != nil {
			return err
		}
	}
	for range n - len(known) {
		if err := d.Skip(); err != nil {
			return err
		}
	}
	return nil
}

func encodeCard(m Member) ([]byte, error) {
	b, err := msgpack.Marshal(&card{Version: cardVersion, Life: uint64(m.Life), Name: m.Name, Labels: m.Labels,
		Meta: m.Meta, Eligible: m.Eligible, Founded: m.Founded, Place: placeOf(m)})
	if err != nil {
		return nil, err
	}
	if len(b) > memberlist.MetaMaxSize {
		return nil, fmt.Errorf("%w: name, labels and meta take %d bytes encoded, at most %d", ErrArgument, len(b), memberlist.MetaMaxSize)
	}
	return b, nil
}

// CheckSelf says whether a name and labels leave room for any meta.
func CheckSelf(name string, labels map[string]string) error {
	if len(name) > MaxName {
		return fmt.Errorf("name: %d bytes, at most %d", len(name), MaxName)
	}
	size := 0
	for key, value := range labels {
		size += len(key) + len(value)
	}
	if size > MaxLabels {
		return fmt.Errorf("labels: %d bytes in all, at most %d", size, MaxLabels)
	}
	if _, err := encodeCard(Member{Name: name, Labels: labels, Meta: make([]byte, MaxMeta), Life: 1 << 63,
		Addr: "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"}); err != nil {
		return fmt.Errorf("name and labels together leave no room for %d bytes of meta: %w", MaxMeta, err)
	}
	return nil
}

// memberOf reads what gossip says of a node; an error if it is not a peer of this version.
func memberOf(node *memberlist.Node) (Member, error) {
	if !identity.ValidID(node.Name) {
		return Member{}, fmt.Errorf("a node named %.40q: expected a peer id", node.Name)
	}
	if len(node.Addr) != net.IPv4len && len(node.Addr) != net.IPv6len || node.Port == 0 {
		return Member{}, fmt.Errorf("node %s: address %v:%d is not possible", node.Name, []byte(node.Addr), node.Port)
	}
	var c card
	if err := msgpack.Unmarshal(node.Meta, &c); err != nil {
		return Member{}, fmt.Errorf("node %s: metadata: %w", node.Name, err)
	}
	if c.Version != cardVersion {
		return Member{}, fmt.Errorf("node %s: metadata version %d, expected %d", node.Name, c.Version, cardVersion)
	}
	nominal := node.Address()
	addr, err := placeIn(c.Place, nominal)
	if err != nil {
		return Member{}, fmt.Errorf("node %s: %w", node.Name, err)
	}
	return Member{
		ID:       node.Name,
		Name:     c.Name,
		Addr:     addr,
		nominal:  nominal,
		Labels:   c.Labels,
		Meta:     c.Meta,
		Eligible: c.Eligible,
		Founded:  c.Founded,
		Life:     transport.Life(c.Life),
	}, nil
}
