package p2plib

import (
	"bytes"
	"net"
	"os"
	"runtime"
	"testing"
	"time"
)

func TestTenJoinOneByOneEachKnowingOneEarlierPeer(t *testing.T) {
	first := testConfig()
	first.Found = true
	nodes := []*watched{openNode(t, first)}
	for len(nodes) < 10 {
		nodes = append(nodes, openNode(t, testConfig(nodes[(len(nodes)-1)/2].address())))
	}
	for _, n := range nodes {
		for _, other := range nodes {
			if other != n {
				await(n, up(other.id))
			}
		}
	}
}

func TestTheLowestOfTheExpectedFoundsOnce(t *testing.T) {
	var nodes []*watched
	var join []string
	for range 3 {
		config := testConfig(join...)
		config.Found, config.Expect = true, 3
		nodes = append(nodes, openNode(t, config))
		join = []string{nodes[0].address()}
	}
	ledgers := map[string]bool{}
	for _, n := range nodes {
		ledgers[await(n, func(e Committee) bool { return e.Ledger != "" }).Ledger] = true
	}
	if len(ledgers) != 1 {
		t.Fatalf("%d ledgers were founded", len(ledgers))
	}
}

func TestAnotherSwarmKeyIsRefusedAndSaidSo(t *testing.T) {
	a := openNode(t, testConfig())
	config := testConfig(a.address())
	config.SwarmKey = "ab" + testKey[2:]
	config.JoinTimeoutMs = 50
	stranger := openNode(t, config)
	failed := await(stranger, func(JoinFailed) bool { return true })
	if len(failed.Failures) != 1 || !failed.Failures[0].Refused || failed.Failures[0].Address != a.address() {
		t.Fatalf("got %+v, expected one refusal by %s", failed, a.address())
	}
	await(a, func(e Fault) bool { return e.Where == "transport.handshake" })
}

func TestAnAddressWhereNobodyIsFailsAndIsTriedFurther(t *testing.T) {
	early := openNode(t, testConfig())
	address := early.address()
	early.Close()
	config := testConfig(address)
	config.JoinTimeoutMs = 50
	waiting := openNode(t, config)
	failed := await(waiting, func(JoinFailed) bool { return true })
	if len(failed.Failures) != 1 || failed.Failures[0].Refused {
		t.Fatalf("got %+v, expected one failure that is no refusal", failed)
	}
	late := testConfig()
	late.Listen = address
	n := openNode(t, late)
	await(waiting, func(e Joined) bool { return e.Address == address })
	await(n, up(waiting.id))
}

func TestAnnouncementsReachTheOthers(t *testing.T) {
	a, b := pair(t, func(c *Config) { c.Name, c.Labels = "someone", map[string]string{"site": "north"} })
	if err := a.Announce([]byte("new"), true); err != nil {
		t.Fatal(err)
	}
	var e PeerInfo
	await(b, func(event Event) bool { // gossip that was late for other reasons tells it with a peer_up
		switch event := event.(type) {
		case PeerUpdate:
			e = event.PeerInfo
		case PeerUp:
			e = event.PeerInfo
		}
		return e.Peer == a.id && string(e.Meta) == "new"
	})
	if !e.Eligible || e.Name != "someone" || e.Labels["site"] != "north" {
		t.Fatalf("got %+v", e)
	}
}

func TestCloseGivesGoroutinesAndDescriptorsBack(t *testing.T) {
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("no /proc/self/fd here")
		}
		return len(entries)
	}
	runtime.GC()
	before := descriptors()
	a, b := pair(t, unchanged)
	data, into := make([]byte, 1<<20), make([]byte, 1<<20)
	if _, err := a.Send(b.id, []byte("t"), data, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Receive(a.id, []byte("t"), into, 0); err != nil {
		t.Fatal(err)
	}
	await(b, func(Received) bool { return true })
	if _, err := a.Receive(b.id, []byte("open at the end"), into, 0); err != nil {
		t.Fatal(err)
	}
	a.Close()
	b.Close()
	<-a.ended
	<-b.ended
	if e := await(a, func(e Received) bool { return true }); e.Error != "cancelled" && e.Error != "peer_lost" {
		t.Fatalf("a posted receive ended with %+v at close", e)
	}
	if after := descriptors(); after > before { // fewer: what an earlier test left has gone
		t.Fatalf("%d descriptors before, %d after", before, after)
	}
}

func TestAFullInboxHoldsTheSenderBackAndLosesNothing(t *testing.T) {
	first := testConfig()
	first.Inbox = 8
	b := openUnread(t, first)
	a := openNode(t, testConfig(b.address()))
	await(a, up(b.id))
	payload := bytes.Repeat([]byte{1}, 64<<10)
	sent := 0
	for { // until the inbox, the sockets and the queue are full
		payload[0], payload[1] = byte(sent), byte(sent>>8)
		err := a.Message(b.id, []byte("m"), payload)
		if err != nil {
			break
		}
		sent++
		if sent > 1<<16 {
			t.Fatal("four gigabytes were taken for a peer that reads nothing")
		}
	}
	if queued := b.queue.length(); queued > 8+64 {
		t.Fatalf("%d events wait at a node whose inbox is 8", queued)
	}
	b.read()
	last := await(b, func(m Message) bool { return int(m.Payload[0])|int(m.Payload[1])<<8 == sent-1 })
	_ = last
	got := 0
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if m, ok := e.(Message); ok {
			if int(m.Payload[0])|int(m.Payload[1])<<8 != got {
				t.Fatalf("message %d is out of order", got)
			}
			got++
		}
	}
	if got != sent {
		t.Fatalf("%d messages arrived of %d", got, sent)
	}
}

func TestBadConfigurationsNameTheKey(t *testing.T) {
	for key, change := range map[string]func(*Config){
		"swarm_key":     func(c *Config) { c.SwarmKey = "short" },
		"listen":        func(c *Config) { c.Listen = "nowhere" },
		"advertise":     func(c *Config) { c.Advertise = "name:1" },
		"join":          func(c *Config) { c.Join = []string{"no port"} },
		"voters":        func(c *Config) { c.Voters = 100 },
		"labels":        func(c *Config) { c.Labels = map[string]string{"site": string(make([]byte, 300))} },
		"identity_file": func(c *Config) { c.IdentityFile = "/dev/null" },
		"inbox":         func(c *Config) { c.Inbox = 0 },
	} {
		config := testConfig()
		change(&config)
		node, err := Open(config)
		if err == nil {
			node.Close()
			t.Fatalf("%s: accepted", key)
		}
		if !bytes.Contains([]byte(err.Error()), []byte(key)) {
			t.Fatalf("%s: the error does not name it: %v", key, err)
		}
	}
	if _, err := ParseConfig([]byte(`{"listne": ""}`)); err == nil || !bytes.Contains([]byte(err.Error()), []byte("listne")) {
		t.Fatalf("an unknown key: %v", err)
	}
}

func TestATakenAddressIsSaidSo(t *testing.T) {
	a := openNode(t, testConfig())
	config := testConfig()
	config.Listen = a.address()
	if _, err := Open(config); codeText(err) != ErrAddressInUse.Error() {
		t.Fatalf("got %v", err)
	}
}

func TestAnEventThatDoesNotFitStays(t *testing.T) {
	a := openUnread(t, testConfig())
	if err := a.Wake([]byte("payload")); err != nil {
		t.Fatal(err)
	}
	for {
		encoded, err := a.NextEncoded(8, time.Minute)
		small, ok := err.(*SmallError)
		if !ok {
			t.Fatalf("got %q, %v", encoded, err)
		}
		if encoded, err = a.NextEncoded(small.Needed, time.Minute); err != nil || len(encoded) != small.Needed {
			t.Fatalf("%d bytes, %v, expected %d", len(encoded), err, small.Needed)
		}
		if bytes.Contains(encoded, []byte("payload")) {
			return
		}
	}
}

func TestANodesOwnAddressIsTheOneThatTheOthersAreTold(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		founder := testConfig()
		founder.Found, founder.Listen = true, listen
		a := openNode(t, founder)
		_, own := a.Self()
		_, port, _ := net.SplitHostPort(a.address())
		b := openNode(t, testConfig("127.0.0.1:"+port))
		if seen := await(b, up(a.id)); seen.Address != own {
			t.Errorf("listening on %s it says %s, and others are told %s", listen, own, seen.Address)
		}
		conn, err := net.Dial("tcp", own)
		if err != nil {
			t.Fatalf("listening on %s it tells others an address that leads nowhere: %v", listen, err)
		}
		_ = conn.Close()
	}
}
