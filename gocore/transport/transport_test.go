package transport

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pyfl/gocore/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var swarmKey = bytes.Repeat([]byte{7}, 32)

func member(t *testing.T, key []byte) *identity.Identity {
	t.Helper()
	private, err := identity.LoadKey("")
	if err != nil {
		t.Fatal(err)
	}
	own, err := identity.New(key, private)
	if err != nil {
		t.Fatal(err)
	}
	return own
}

func open(t *testing.T, key []byte, faults chan error) *T {
	t.Helper()
	return start(t, Config{Identity: member(t, key), Congestion: "no-such-algorithm"}, faults)
}

func start(t *testing.T, config Config, faults chan error) *T {
	t.Helper()
	config.Listen = "127.0.0.1:0"
	config.Fault = func(_ string, err error) {
		if faults != nil {
			faults <- err
		}
	}
	tr, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

func listen(t *testing.T, tr *T, plane Plane) *Listener {
	t.Helper()
	l, err := tr.Listen(plane)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestMembersKnowEachOtherByKeyOnEveryPlane(t *testing.T) {
	a, b := open(t, swarmKey, nil), open(t, swarmKey, nil)
	for _, plane := range planes {
		l := listen(t, b, plane)
		out, err := a.Dial(t.Context(), b.Addr(), plane, b.Self())
		if err != nil {
			t.Fatalf("%s: %v", plane, err)
		}
		in, err := l.AcceptPeer()
		if err != nil {
			t.Fatal(err)
		}
		if in.Peer() != a.Self() || out.Peer() != b.Self() || in.Plane() != plane || out.Plane() != plane ||
			in.Life() != a.Life() || out.Life() != b.Life() {
			t.Fatalf("peer or plane wrong: %s %s %s", in.Peer(), out.Peer(), in.Plane())
		}
		payload := make([]byte, 1<<20)
		_, _ = rand.Read(payload)
		go func() {
			_, _ = out.WriteBuffered(payload)
			_ = out.Flush()
		}()
		got := make([]byte, len(payload))
		if _, err := io.ReadFull(in, got); err != nil || !bytes.Equal(got, payload) {
			t.Fatalf("%s: payload differs (%v)", plane, err)
		}
		_ = out.Close()
		if _, err := in.Read(got); err == nil {
			t.Fatal("the reader did not see the close")
		}
		_ = in.Close()
	}
	if a.Open() != 0 || b.Open() != 0 {
		t.Fatalf("connections are still counted: %d, %d", a.Open(), b.Open())
	}
}

func TestAnotherSwarmKeyIsRefusedAndSaidSo(t *testing.T) {
	faults := make(chan error, 8)
	a, b := open(t, swarmKey, nil), open(t, bytes.Repeat([]byte{8}, 32), faults)
	listen(t, b, Member)
	_, err := a.Dial(t.Context(), b.Addr(), Member, "")
	var refused *RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, expected *RefusedError", err)
	}
	<-faults
}

func TestAServerThatRejectsAClientIsReportedAsRefused(t *testing.T) {
	a, b := open(t, swarmKey, nil), open(t, swarmKey, nil)
	listen(t, b, Member)
	stranger := member(t, bytes.Repeat([]byte{8}, 32))
	a.client = a.client.Clone() // presents a certificate that b does not accept, accepts b's
	a.client.Certificates = []tls.Certificate{stranger.Certificate}
	_, err := a.Dial(t.Context(), b.Addr(), Member, "")
	var refused *RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, expected *RefusedError", err)
	}
}

func TestADialThatExpectsSomebodyElseFails(t *testing.T) {
	a, b, c := open(t, swarmKey, nil), open(t, swarmKey, nil), open(t, swarmKey, nil)
	listen(t, b, Message)
	_, err := a.Dial(t.Context(), b.Addr(), Message, c.Self())
	var wrong *WrongPeerError
	if !errors.As(err, &wrong) || wrong.Got != b.Self() || !Gone(err) {
		t.Fatalf("got %v, expected *WrongPeerError", err)
	}
}

func TestAPlaneWithoutAListenerIsSaidSo(t *testing.T) {
	a, b := open(t, swarmKey, nil), open(t, swarmKey, nil)
	_, err := a.Dial(t.Context(), b.Addr(), Ledger, "")
	var plane *PlaneError
	if !errors.As(err, &plane) {
		t.Fatalf("got %v, expected *PlaneError", err)
	}
}

func TestNobodyThereIsGone(t *testing.T) {
	a, b := open(t, swarmKey, nil), open(t, swarmKey, nil)
	_ = b.Close()
	if _, err := a.Dial(t.Context(), b.Addr(), Member, ""); !Gone(err) {
		t.Fatalf("got %v, expected a refused connection", err)
	}
}

func TestATakenAddressIsAddressInUse(t *testing.T) {
	a := open(t, swarmKey, nil)
	_, err := New(Config{Listen: a.Addr(), Identity: member(t, swarmKey)})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("got %v, expected EADDRINUSE", err)
	}
}

func TestHostileBytesBeforeTLSAreCountedAndHarmless(t *testing.T) {
	faults := make(chan error, 64)
	a, b := open(t, swarmKey, nil), open(t, swarmKey, faults)
	l := listen(t, b, Member)
	for i := range 16 {
		raw, err := net.Dial("tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		noise := make([]byte, 64+i*97)
		_, _ = rand.Read(noise)
		_, _ = raw.Write(noise)
		_ = raw.Close()
		<-faults
	}
	if b.Refusals() != 16 {
		t.Fatalf("%d refusals counted, expected 16", b.Refusals())
	}
	if _, err := a.Dial(t.Context(), b.Addr(), Member, b.Self()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.AcceptPeer(); err != nil {
		t.Fatal(err)
	}
}

func TestStrangersWhoHoldHandshakesOpenDoNotShutMembersOut(t *testing.T) {
	faults := make(chan error, 4*maxHandshakes)
	a, b := open(t, swarmKey, nil), open(t, swarmKey, faults)
	listen(t, b, Member)
	for range 2 * maxHandshakes {
		raw, err := net.Dial("tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
	}
	for range maxHandshakes {
		<-faults // the oldest half was dropped for the newer
	}
	if _, err := a.Dial(t.Context(), b.Addr(), Member, b.Self()); err != nil {
		t.Fatal(err)
	}
}

func TestClosingEndsADialUnderWay(t *testing.T) {
	a := open(t, swarmKey, nil)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	result := make(chan error)
	go func() {
		_, err := a.Dial(context.Background(), silent.Addr().String(), Member, "")
		result <- err
	}()
	raw, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_ = a.Close()
	if err := <-result; !errors.Is(err, ErrClosed) {
		t.Fatalf("got %v, expected ErrClosed", err)
	}
}

func TestCloseGivesDescriptorsBack(t *testing.T) {
	before := descriptors(t)
	a, b := open(t, swarmKey, nil), open(t, swarmKey, nil)
	listen(t, b, Bulk)
	for range 8 {
		if _, err := a.Dial(t.Context(), b.Addr(), Bulk, ""); err != nil {
			t.Fatal(err)
		}
	}
	_ = a.Close()
	_ = b.Close()
	if after := descriptors(t); after != before {
		t.Fatalf("%d descriptors before, %d after", before, after)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc/self/fd here")
	}
	return len(entries)
}

func BenchmarkOneStream(b *testing.B) {
	private, _ := identity.LoadKey("")
	own, err := identity.New(swarmKey, private)
	if err != nil {
		b.Fatal(err)
	}
	tr, err := New(Config{Listen: "127.0.0.1:0", Identity: own, Congestion: "cubic"})
	if err != nil {
		b.Fatal(err)
	}
	defer tr.Close()
	l, _ := tr.Listen(Bulk)
	out, err := tr.Dial(context.Background(), tr.Addr(), Bulk, "")
	if err != nil {
		b.Fatal(err)
	}
	in, _ := l.AcceptPeer()
	const size = 4 << 20
	data, sink := make([]byte, size), make([]byte, size)
	b.SetBytes(size)
	done := make(chan error, 1)
	go func() {
		for range b.N {
			if _, err := out.WriteBuffered(data); err != nil {
				done <- err
				return
			}
		}
		done <- out.Flush()
	}()
	start := time.Now()
	for range b.N {
		if _, err := io.ReadFull(in, sink); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*size/time.Since(start).Seconds()/1e9, "GB/s")
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
