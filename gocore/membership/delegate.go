// What memberlist calls.

package membership

import (
	"net"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"
)

// listener is what memberlist calls. Its events come with memberlist's lock held, so they only touch the table.
type listener struct{ m *M }

func (l listener) NotifyJoin(node *memberlist.Node)   { l.alive(node) }
func (l listener) NotifyUpdate(node *memberlist.Node) { l.alive(node) }

func (l listener) alive(node *memberlist.Node) {
	member, err := memberOf(node)
	if err != nil || member.ID == l.m.config.Transport.Self() {
		return // NotifyAlive has reported it
	}
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.m.table.alive(member)
}

func (l listener) NotifyLeave(node *memberlist.Node) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.m.table.dead(node.Name)
}

// NotifyAlive keeps nodes out that are not peers of this version.
func (l listener) NotifyAlive(node *memberlist.Node) error {
	_, err := memberOf(node)
	if err != nil {
		l.m.config.Fault("membership.alive", err)
	}
	return err
}

// NotifyConflict: a peer is said to be at two addresses. It has moved and gossip does not know yet that its
// former life is over: look at the old place now, and ask the new one.
func (l listener) NotifyConflict(existing, other *memberlist.Node) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if len(l.m.places) < 64 {
		l.m.places[net.JoinHostPort(other.Addr.String(), strconv.Itoa(int(other.Port)))] = other.Name
	}
	l.m.table.broken(existing.Name)
}

func (l listener) NodeMeta(int) []byte {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	return l.m.card
}

func (l listener) NotifyPingComplete(other *memberlist.Node, rtt time.Duration, _ []byte) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if len(l.m.rtt) < 1<<14 {
		l.m.rtt[other.Name] = rtt
	}
}

func (l listener) AckPayload() []byte              { return nil }
func (l listener) NotifyMsg([]byte)                {}
func (l listener) GetBroadcasts(int, int) [][]byte { return nil }
func (l listener) LocalState(bool) []byte          { return nil }
func (l listener) MergeRemoteState([]byte, bool)   {}
