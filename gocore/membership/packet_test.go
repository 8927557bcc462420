package membership

import (
	"net"
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"
	"pgregory.net/rapid"
)

func TestPacketsThatUnpackOrRecurseAreRefused(t *testing.T) {
	crc := func(inner ...byte) []byte { return append([]byte{typeCRC, 0, 0, 0, 0}, inner...) }
	for name, packet := range map[string][]byte{
		"empty":               {},
		"compressed":          {9, 1, 2, 3},
		"encrypted":           {10, 1, 2, 3},
		"a user's":            {8, 1},
		"labelled":            {244, 1, 'x'},
		"compressed inside":   crc(9, 1),
		"compound, cut":       {typeCompound, 3, 0, 1},
		"compound, too large": {typeCompound, 1, 0xff, 0xff, 0},
		"compound of itself":  crc(typeCompound, 1, 0, 5, typeCompound, 1, 0, 1, typePing),
		"checksum alone":      {typeCRC, 0, 0, 0, 0},
	} {
		if checkPacket(packet, 0) == nil {
			t.Errorf("%s: let through", name)
		}
	}
	for name, packet := range map[string][]byte{
		"ping":     {typePing, 1},
		"checksum": crc(typeAlive, 1),
		"compound": crc(typeCompound, 2, 0, 1, 0, 2, typePing, typeAlive, 0),
	} {
		if err := checkPacket(packet, 0); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoPacketMakesTheCheckPanic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_ = checkPacket(rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "packet"), 0)
	})
}

func TestACardSurvivesGossipAndFitsIt(t *testing.T) {
	m := Member{ID: strings.Repeat("ab", 16), Name: strings.Repeat("n", MaxName), Addr: "127.0.0.1:77",
		Labels: map[string]string{"region": "north", "site": "one"}, Meta: []byte(strings.Repeat("m", MaxMeta)), Eligible: true, Founded: true, Life: 1 << 63}
	meta, err := encodeCard(m)
	if err != nil || len(meta) > memberlist.MetaMaxSize {
		t.Fatalf("%d bytes, %v", len(meta), err)
	}
	got, err := memberOf(&memberlist.Node{Name: m.ID, Addr: net.IPv4(127, 0, 0, 1).To4(), Port: 77, Meta: meta})
	if err != nil || !got.equal(m) {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestNodesThatAreNoPeersAreRefused(t *testing.T) {
	good, _ := encodeCard(Member{})
	id := strings.Repeat("ab", 16)
	for name, node := range map[string]memberlist.Node{
		"name":    {Name: "someone", Addr: net.IPv4(1, 2, 3, 4).To4(), Port: 1, Meta: good},
		"address": {Name: id, Addr: []byte{1, 2, 3}, Port: 1, Meta: good},
		"port":    {Name: id, Addr: net.IPv4(1, 2, 3, 4).To4(), Meta: good},
		"meta":    {Name: id, Addr: net.IPv4(1, 2, 3, 4).To4(), Port: 1, Meta: []byte("noise")},
	} {
		if _, err := memberOf(&node); err == nil {
			t.Errorf("%s: let through", name)
		}
	}
}
