// Where a peer is while its address changes under it: a laptop in another network, a container that was moved.
//
// memberlist refuses another address of a peer that it takes for alive, so for a whole life it is given the first one; the
// present one travels in the card, which spreads like any update.

package membership

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// placeOf is what a card says of the member's address: nothing while it is the nominal one.
func placeOf(m Member) []byte {
	if m.Addr == m.nominal {
		return nil
	}
	addr, err := netip.ParseAddrPort(m.Addr)
	if err != nil {
		return nil // only a configured address can be that, and it does not change
	}
	b, _ := addr.MarshalBinary() // never fails
	return b
}

// placeIn reads it.
func placeIn(b []byte, nominal string) (string, error) {
	if len(b) == 0 {
		return nominal, nil
	}
	var addr netip.AddrPort
	if err := addr.UnmarshalBinary(b); err != nil || addr.Addr().IsUnspecified() || addr.Port() == 0 || addr.Addr().Zone() != "" {
		return "", errors.New("its metadata name no possible address")
	}
	return addr.String(), nil
}

// locate gives the present address of what memberlist knows by a nominal one.
func (m *M) locate(dest memberlist.Address) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.table.entries[dest.Name]; e != nil && e.member.nominal == dest.Addr {
		return e.member.Addr
	}
	return dest.Addr
}

// follows says whether the advertised address is this machine's, whatever that is.
func follows(listens, wanted string) bool {
	if wanted == "" {
		wanted = listens
	}
	host, _, err := net.SplitHostPort(wanted)
	ip := net.ParseIP(host)
	return err == nil && (ip == nil || ip.IsUnspecified())
}

const placeLook = time.Second

// followPlace tells the others when this machine has another address.
func (m *M) followPlace() {
	tick := time.NewTicker(placeLook)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-m.ctx.Done():
			return
		}
		m.look(present, func() (*net.TCPAddr, error) { return advertised(m.config.Transport.Addr(), m.config.Advertise) })
	}
}

// look compares what is told with what is. An address that the machine still has is kept, whatever others it gets.
func (m *M) look(present func(net.IP) bool, choose func() (*net.TCPAddr, error)) {
	told := m.Self().Addr
	host, _, _ := net.SplitHostPort(told)
	ip := net.ParseIP(host)
	if !ip.IsLoopback() && present(ip) {
		return
	}
	now, err := choose()
	if err != nil || now.IP.IsLoopback() || now.String() == told {
		return // between two networks
	}
	if err := m.move(now.String()); err != nil {
		m.config.Fault("membership.place", err)
	}
}

func (m *M) move(addr string) error {
	m.mu.Lock()
	if m.closed || m.leaving {
		m.mu.Unlock()
		return nil
	}
	from, next := m.self.Addr, m.self
	next.Addr = addr
	err := m.become(next)
	m.mu.Unlock()
	if err != nil {
		return err
	}
	if m.config.Moved != nil {
		m.config.Moved(from)
	}
	err = m.tell()
	m.rejoinAll()
	m.lookSoon()
	return err
}

func present(ip net.IP) bool {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return true // nothing can be said
	}
	for _, a := range addresses {
		if network, ok := a.(*net.IPNet); ok && network.IP.Equal(ip) {
			return true
		}
	}
	return false
}
