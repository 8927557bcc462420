// Names of Raft servers and the committee made of them.
//
// A server is a peer with one incarnation of its log: "peerid.incarnation", which is also its Raft address. A lost
// log is a new server, so a wiped voter cannot vote in its old name.

package ledger

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sort"
	"strings"

	"github.com/hashicorp/raft"
)

const maxServers = 64 // of a configuration

func newIncarnation() string { return randomHex(8) }
func newLedgerID() string    { return randomHex(16) }

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails since Go 1.24
	return hex.EncodeToString(b)
}

func serverID(peer PeerID, incarnation string) string { return peer + "." + incarnation }

func validServer(id string) bool {
	peer, incarnation, ok := strings.Cut(id, ".")
	if !ok || !validPeer(peer) || len(incarnation) != 16 {
		return false
	}
	_, err := hex.DecodeString(incarnation)
	return err == nil
}

// peerOf returns a server's peer; "" for no server.
func peerOf(server string) PeerID {
	peer, _, _ := strings.Cut(server, ".")
	return peer
}

type server struct {
	ID    string `msgpack:"i"`
	Voter bool   `msgpack:"v"`
}

// committee is a configuration of the Raft log and the index that it was committed at.
type committee struct {
	Index   uint64   `msgpack:"x"`
	Servers []server `msgpack:"s"`
}

func committeeOf(index uint64, c raft.Configuration) committee {
	out := committee{Index: index}
	for _, s := range c.Servers {
		out.Servers = append(out.Servers, server{ID: string(s.ID), Voter: s.Suffrage == raft.Voter})
	}
	sort.Slice(out.Servers, func(i, j int) bool { return out.Servers[i].ID < out.Servers[j].ID })
	return out
}

func (c committee) check() error {
	if len(c.Servers) > maxServers {
		return fmt.Errorf("ledger: a committee of %d servers, expected at most %d", len(c.Servers), maxServers)
	}
	for _, s := range c.Servers {
		if !validServer(s.ID) {
			return fmt.Errorf("ledger: %.80q is not a server", s.ID)
		}
	}
	return nil
}

func (c committee) has(id string) (member, voter bool) {
	for _, s := range c.Servers {
		if s.ID == id {
			return true, s.Voter
		}
	}
	return false, false
}

// voters returns the servers that vote, sorted.
func (c committee) voters() []string {
	var out []string
	for _, s := range c.Servers {
		if s.Voter {
			out = append(out, s.ID)
		}
	}
	sort.Strings(out)
	return out
}

// voterPeers returns the peers that vote, sorted, each once.
func (c committee) voterPeers() []PeerID {
	out := []PeerID{}
	for _, id := range c.voters() {
		if p := peerOf(id); len(out) == 0 || out[len(out)-1] != p {
			out = append(out, p)
		}
	}
	return out
}
