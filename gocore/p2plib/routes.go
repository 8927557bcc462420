// Ways to peers that change: around by another member, and straight again.

package p2plib

import "pyfl/gocore/transport"

func (n *Node) place(peer PeerID) (string, bool) {
	members := n.known()
	if members == nil {
		return "", false
	}
	return members.Place(peer)
}

func (n *Node) memberIDs() []PeerID {
	members := n.known()
	if members == nil {
		return nil
	}
	var peers []PeerID
	for _, m := range members.Members() {
		peers = append(peers, m.ID)
	}
	return peers
}

// routeChanged: dials to the peer go by via from now on. What went around goes straight again as soon as nothing is lost
// by it; Raft, watches and gossip lose nothing.
func (n *Node) routeChanged(peer, via PeerID) {
	n.queue.push(LinkRoute{Peer: peer, Via: via})
	if via != "" || !n.started() {
		return
	}
	n.messages.Renew(peer)
	n.bulk.Renew(peer)
	n.transport.CloseRelayed(peer, transport.Member, transport.Ledger, transport.Watch)
}
