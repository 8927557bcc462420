package membership

import (
	"net"
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"
	"github.com/vmihailenco/msgpack/v5"
)

func TestACardOfANeighbouringVersionIsRead(t *testing.T) {
	b, err := msgpack.Marshal([]any{cardVersion, uint64(7), "heron", map[string]string{"site": "oslo"}, []byte("meta"), true, true, nil, "added later"})
	if err != nil {
		t.Fatal(err)
	}
	node := &memberlist.Node{Name: strings.Repeat("a", 32), Addr: net.IPv4(127, 0, 0, 1).To4(), Port: 1, Meta: b}
	m, err := memberOf(node)
	if err != nil || m.Name != "heron" || m.Life != 7 || !m.Eligible || !m.Founded || string(m.Meta) != "meta" {
		t.Fatalf("%+v %v", m, err)
	}
}
