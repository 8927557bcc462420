// Connections whose other machine no longer answers: TCP would go on for a quarter of an hour.

package transport

import (
	"net"
	"time"
)

const (
	silenceLook  = 500 * time.Millisecond
	silenceLimit = 3 * time.Second // without one acknowledgement of what was sent, repeats included
	silenceTries = 3               // repeats by then
)

// watchSilence closes every straight connection with a peer once the network has swallowed what was sent on one of
// them. A process that merely stands still is not meant: its kernel acknowledges.
func (t *T) watchSilence() {
	defer t.wg.Done()
	defer t.recovered("transport.silence")
	tick := time.NewTicker(silenceLook)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-t.ctx.Done():
			return
		}
		for peer := range t.swallowed() {
			t.CloseStraight(peer)
		}
	}
}

// swallowed are the peers on whose connections nothing gets through.
func (t *T) swallowed() map[PeerID]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	peers := map[PeerID]bool{}
	for c := range t.conns {
		if tcp, ok := c.under.Conn.(*net.TCPConn); ok && !peers[c.peer] && unanswered(tcp) {
			peers[c.peer] = true
		}
	}
	return peers
}
