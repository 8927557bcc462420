// Two planes over real transports, with the message plane's control frames passed by hand: what happens to buffers.

package bulk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"pyfl/gocore/identity"
	"pyfl/gocore/messages"
	"pyfl/gocore/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// side is one node: a transport, a bulk plane, and its ended transfers.
type side struct {
	*Plane
	transport *transport.T
	frames    chan func() // control frames for the other side, in order
	over      chan struct{}
	faults    chan string
	mu        sync.Mutex
	ended     map[int64]chan Ended
	via       string // where the other side is dialed
	other     *side
}

type fataler interface {
	Fatal(...any)
	Fatalf(string, ...any)
	Helper()
}

func newSide(t fataler, progress time.Duration) *side {
	t.Helper()
	key, err := identity.LoadKey("")
	if err != nil {
		t.Fatal(err)
	}
	own, err := identity.New(bytes.Repeat([]byte{3}, 32), key)
	if err != nil {
		t.Fatal(err)
	}
	s := &side{frames: make(chan func(), 1<<16), over: make(chan struct{}), faults: make(chan string, 1024), ended: map[int64]chan Ended{}}
	s.transport, err = transport.New(transport.Config{Listen: "127.0.0.1:0", Identity: own})
	if err != nil {
		t.Fatal(err)
	}
	s.via = s.transport.Addr()
	s.Plane, err = New(Config{
		Transport: s.transport,
		Resolve: func(id PeerID) (string, transport.Life, bool) {
			if s.other == nil || id != s.other.transport.Self() {
				return "", 0, false
			}
			return s.other.via, s.other.transport.Life(), true
		},
		Control: func(_ PeerID, kind messages.Kind, body []byte) error {
			s.frames <- func() { s.other.Frame(s.transport.Self(), s.transport.Life(), kind, body) }
			return nil
		},
		Ended:    func(e Ended) { s.end(e.Transfer) <- e },
		Broken:   func(PeerID) {},
		Streams:  func(PeerID) int { return 2 },
		Fault:    func(where string, err error) { s.faults <- where + ": " + err.Error() },
		Progress: progress,
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			select {
			case deliver := <-s.frames:
				deliver()
			case <-s.over:
				return
			}
		}
	}()
	return s
}

func (s *side) end(id int64) chan Ended {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended[id] == nil {
		s.ended[id] = make(chan Ended, 2)
	}
	return s.ended[id]
}

func (s *side) await(t fataler, id int64) Ended {
	t.Helper()
	select {
	case e := <-s.end(id):
		return e
	case <-time.After(patience):
		t.Fatalf("transfer %d did not end", id)
		return Ended{}
	}
}

func (s *side) id() PeerID { return s.transport.Self() }

func (s *side) close() {
	s.Plane.Close()
	_ = s.transport.Close()
	close(s.over)
}

func sides(t *testing.T, progress time.Duration) (sender, receiver *side) {
	sender, receiver = newSide(t, progress), newSide(t, progress)
	sender.other, receiver.other = receiver, sender
	t.Cleanup(func() { sender.close(); receiver.close() })
	return sender, receiver
}

func pattern(size int, seed byte) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i>>8)*31 + byte(i) + seed
	}
	return b
}

// After cancel returned the buffer is the caller's: it may be overwritten at the sender without the receiver seeing it,
// and nothing is written to it at the receiver. The other side's post stays and serves the next one.
func TestAfterCancelNobodyTouchesTheBuffer(t *testing.T) {
	sender, receiver := sides(t, patience)
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		tag := string(binary.BigEndian.AppendUint32(nil, uint32(round)))
		size := rapid.SampledFrom([]int{0, 1, 1000, MaxChunk, MaxChunk + 1, 3 << 20, 8 << 20}).Draw(t, "size")
		atSender := rapid.Bool().Draw(t, "cancelled at the sender")
		wait := time.Duration(rapid.IntRange(0, 12_000).Draw(t, "microseconds before the cancel")) * time.Microsecond
		want := pattern(size, byte(round))
		data, into := bytes.Clone(want), make([]byte, size)

		sent, err := sender.Send(receiver.id(), tag, data, 0)
		if err != nil {
			t.Fatal(err)
		}
		received, err := receiver.Receive(sender.id(), tag, into, 0)
		if err != nil {
			t.Fatal(err)
		}
		for start := time.Now(); time.Since(start) < wait; { // a moment anywhere in the transfer
		}
		if atSender {
			err = sender.Cancel(sent)
			clear(data) // ours again
			e := sender.await(t, sent)
			if errors.Is(err, ErrNoTransfer) != (e.Error == "") {
				t.Fatalf("cancel said %v, the event %+v", err, e)
			}
			if err == nil {
				again := bytes.Clone(want)
				if sent, err = sender.Send(receiver.id(), tag, again, 0); err != nil {
					t.Fatal(err)
				}
				if e := receiver.await(t, received); e.Error != "" {
					t.Fatalf("the receive ended with %+v", e)
				}
				// The receive may have been served by the cancelled send as a whole: then the second waits for another.
				_ = sender.Cancel(sent)
			} else if e := receiver.await(t, received); e.Error != "" {
				t.Fatalf("the receive ended with %+v", e)
			}
			if !bytes.Equal(into, want) {
				t.Fatal("the receiver saw what was written to the sender's buffer after its cancel")
			}
			return
		}
		err = receiver.Cancel(received)
		kept := bytes.Clone(into)
		if err != nil {
			if e := sender.await(t, sent); e.Error != "" {
				t.Fatalf("the send ended with %+v", e)
			}
			return
		}
		second := make([]byte, size)
		if received, err = receiver.Receive(sender.id(), tag, second, 0); err != nil {
			t.Fatal(err)
		}
		if e := receiver.await(t, received); e.Error != "" {
			t.Fatalf("the second receive ended with %+v", e)
		}
		if e := sender.await(t, sent); e.Error != "" {
			t.Fatalf("the send ended with %+v", e)
		}
		if !bytes.Equal(second, want) {
			t.Fatal("the second receive has other bytes")
		}
		if !bytes.Equal(into, kept) {
			t.Fatal("the buffer of a cancelled receive was written to")
		}
	})
	for _, s := range []*side{sender, receiver} {
		select {
		case fault := <-s.faults:
			t.Fatalf("a defence fired between honest peers: %s", fault)
		default:
		}
		if n := s.Posted(); n != 0 {
			t.Fatalf("%d transfers are left", n)
		}
	}
}

func TestManyTransfersBothWaysArriveWhole(t *testing.T) {
	a, b := sides(t, patience)
	const count, size = 200, 100_003
	type pair struct {
		from, to       *side
		sent, received int64
		want, into     []byte
	}
	var pairs []pair
	for i := range count {
		p := pair{from: a, to: b, want: pattern(size, byte(i)), into: make([]byte, size)}
		if i%2 == 1 {
			p.from, p.to = b, a
		}
		tag := string(binary.BigEndian.AppendUint32(nil, uint32(i)))
		var err error
		if p.received, err = p.to.Receive(p.from.id(), tag, p.into, 0); err != nil {
			t.Fatal(err)
		}
		if p.sent, err = p.from.Send(p.to.id(), tag, p.want, 0); err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, p)
	}
	for _, p := range pairs {
		if s, r := p.from.await(t, p.sent), p.to.await(t, p.received); s.Error != "" || r.Error != "" {
			t.Fatalf("%+v %+v", s, r)
		}
		if !bytes.Equal(p.want, p.into) {
			t.Fatal("bytes differ")
		}
	}
}

func TestASizeMismatchFailsBothSides(t *testing.T) {
	a, b := sides(t, patience)
	sent, _ := a.Send(b.id(), "t", make([]byte, 10), 0)
	received, _ := b.Receive(a.id(), "t", make([]byte, 11), 0)
	if s, r := a.await(t, sent), b.await(t, received); s.Error != "size" || r.Error != "size" {
		t.Fatalf("%+v %+v", s, r)
	}
}

func TestWhatNobodyMatchesTimesOut(t *testing.T) {
	a, b := sides(t, patience)
	sent, _ := a.Send(b.id(), "t", make([]byte, 10), 50*time.Millisecond)
	received, _ := a.Receive(b.id(), "t", make([]byte, 10), 50*time.Millisecond)
	if s, r := a.await(t, sent), a.await(t, received); s.Error != "timeout" || r.Error != "timeout" {
		t.Fatalf("%+v %+v", s, r)
	}
}

func TestPostsAreBoundedAndTagsUnique(t *testing.T) {
	a, b := sides(t, patience)
	buffer := make([]byte, 1)
	for i := range MaxPosted {
		if _, err := a.Send(b.id(), string(binary.BigEndian.AppendUint32(nil, uint32(i))), buffer, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Send(b.id(), "one more", buffer, 0); !errors.Is(err, ErrFull) {
		t.Fatalf("got %v, expected ErrFull", err)
	}
	if _, err := b.Send(a.id(), "t", buffer, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Send(a.id(), "t", buffer, 0); !errors.Is(err, ErrArgument) {
		t.Fatalf("got %v, expected ErrArgument", err)
	}
	if _, err := a.Send("0123456789abcdef0123456789abcdef", "t", buffer, 0); !errors.Is(err, ErrNoPeer) {
		t.Fatalf("got %v, expected ErrNoPeer", err)
	}
}

func TestUnknownPostsAreDrainedAndTheSendGoesOnWaiting(t *testing.T) {
	a, b := sides(t, patience)
	sent, err := a.Send(b.id(), "t", pattern(3<<20, 1), 0)
	if err != nil {
		t.Fatal(err)
	}
	a.Frame(b.id(), b.transport.Life(), messages.KindPost, encodePost(12345, 3<<20, "t")) // as of a receive that is forgotten
	for b.Counters.Drained.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	into := make([]byte, 3<<20)
	received, err := b.Receive(a.id(), "t", into, 0)
	if err != nil {
		t.Fatal(err)
	}
	if s, r := a.await(t, sent), b.await(t, received); s.Error != "" || r.Error != "" || !bytes.Equal(into, pattern(3<<20, 1)) {
		t.Fatalf("%+v %+v", s, r)
	}
}

func TestTheLossOfAPeerEndsWhatIsPostedWithIt(t *testing.T) {
	a, b := sides(t, patience)
	sent, _ := a.Send(b.id(), "s", make([]byte, 10), 0)
	received, _ := a.Receive(b.id(), "r", make([]byte, 10), 0)
	a.Gone(b.id(), b.transport.Life()+1) // another life: none of our business
	if a.Posted() != 2 {
		t.Fatal("the end of another life ended transfers")
	}
	a.Gone(b.id(), b.transport.Life())
	if s, r := a.await(t, sent), a.await(t, received); s.Error != "peer_lost" || r.Error != "peer_lost" {
		t.Fatalf("%+v %+v", s, r)
	}
}

func BenchmarkTransfer(b *testing.B) {
	for _, size := range []int{4 << 20, 100_000_000} {
		b.Run(map[int]string{4 << 20: "4MiB", 100_000_000: "100MB"}[size], func(b *testing.B) {
			from, to := newSide(b, patience), newSide(b, patience)
			from.other, to.other = to, from
			defer func() { from.close(); to.close() }()
			data, into := make([]byte, size), make([]byte, size)
			b.SetBytes(int64(size))
			for b.Loop() {
				received, err := to.Receive(from.id(), "t", into, 0)
				if err != nil {
					b.Fatal(err)
				}
				sent, err := from.Send(to.id(), "t", data, 0)
				if err != nil {
					b.Fatal(err)
				}
				to.await(b, received)
				from.await(b, sent)
			}
		})
	}
}

func TestAfterAnAbortTheReceiveStartsAnew(t *testing.T) {
	a, b := sides(t, patience)
	want := pattern(MaxChunk+1, 3)
	into := make([]byte, len(want))
	received, err := b.Receive(a.id(), "t", into, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	post := b.transfers[received].post
	b.mu.Unlock()
	conn, err := a.transport.Dial(context.Background(), b.transport.Addr(), transport.Bulk, b.id())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var head [chunkHead]byte
	write := func(b []byte) {
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	write(putChunk(&head, try{post, 1}, MaxChunk, flagData))
	write(make([]byte, MaxChunk))
	write(putChunk(&head, try{post, 1}, 0, flagAborted))
	write(putChunk(&head, try{post, 2}, MaxChunk, flagData))
	write(want[:MaxChunk])
	write(putChunk(&head, try{post, 2}, 1, flagData))
	write(want[MaxChunk:])
	if e := b.await(t, received); e.Error != "" || !bytes.Equal(into, want) {
		t.Fatalf("got %+v", e)
	}
}

// The end of a withdrawn send and the start of the next one for the same post must arrive in that order.
func TestTheNextSendFollowsAWithdrawnOneOnItsStream(t *testing.T) {
	a, b := sides(t, patience)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // streams stay in their dial
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	b.via = silent.Addr().String()
	buffer := make([]byte, 10)
	if _, err := a.Send(b.id(), "first", buffer, 0); err != nil {
		t.Fatal(err)
	}
	a.Frame(b.id(), b.transport.Life(), messages.KindPost, encodePost(1, 10, "first"))
	a.mu.Lock()
	peer := a.peers[b.id()]
	busy := peer.streams[0]
	peer.remote["again"] = remotePost{post: 2, size: 10, on: busy}
	a.mu.Unlock()
	sent, err := a.Send(b.id(), "again", buffer, 0)
	if err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.transfers[sent].attempt.stream != busy {
		t.Fatal("the send went to another stream, where it may overtake")
	}
}
