// Compare-and-set against a plain map, nonces, snapshots, bounds: laws of the pure state.

package ledger

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

type modelRecord struct {
	version uint64
	value   string
}

func TestCompareAndSetKeepsToAMapAndIsAllOrNone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, model := newState(), map[string]modelRecord{}
		done := map[nonce]bool{}
		var commands [][]byte
		for i := range rapid.IntRange(1, 60).Draw(t, "commands") {
			index := uint64(i + 1)
			var data []byte
			if len(commands) > 0 && rapid.IntRange(0, 4).Draw(t, "repeat") == 0 {
				data = rapid.SampledFrom(commands).Draw(t, "which")
			} else {
				var ops []Op
				for _, k := range rapid.SliceOfNDistinct(rapid.IntRange(0, 3), 1, 3, rapid.ID).Draw(t, "keys") {
					ops = append(ops, op(fmt.Sprint("k", k), rapid.Uint64Range(0, 3).Draw(t, "version"), rapid.StringN(0, 4, -1).Draw(t, "value")))
				}
				var n nonce
				copy(n[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "nonce"))
				var err error
				if data, err = encodeCommand(n, ops); err != nil {
					t.Fatal(err)
				}
				commands = append(commands, data)
			}
			n, ops, err := decodeCommand(data)
			if err != nil {
				t.Fatal(err)
			}
			want := OK
			for _, o := range ops {
				if model[o.Key].version != o.Version {
					want = Conflict
				}
			}
			if done[n] {
				want = OK
			} else if want == OK {
				done[n] = true
				for _, o := range ops {
					model[o.Key] = modelRecord{o.Version + 1, string(o.Value)}
				}
			}
			if got, _ := s.apply(index, data); got != want {
				t.Fatalf("command %d: %q, the map says %q", i, got, want)
			}
			if rapid.IntRange(0, 9).Draw(t, "snapshot") == 0 {
				s = throughSnapshot(t, s)
			}
		}
		if len(s.records) != len(model) {
			t.Fatalf("%d records, the map has %d", len(s.records), len(model))
		}
		size := 0
		for k, m := range model {
			if r := s.records[k]; r.Version != m.version || string(r.Value) != m.value {
				t.Fatalf("%s is %+v, the map says %+v", k, r, m)
			}
			size += len(k) + len(m.value)
		}
		if s.size != size {
			t.Fatalf("the state counts %d bytes and holds %d", s.size, size)
		}
	})
}

func throughSnapshot(t interface{ Fatal(...any) }, s *state) *state {
	var b bytes.Buffer
	if err := s.freeze().write(&b); err != nil {
		t.Fatal(err)
	}
	first := bytes.Clone(b.Bytes())
	restored, err := readState(&b)
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := restored.freeze().write(&again); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, again.Bytes()) {
		t.Fatal("a snapshot of a restored state differs from the one it was restored from")
	}
	if !reflect.DeepEqual(restored.members, s.members) {
		t.Fatal("a snapshot lost the committee")
	}
	return restored
}

func TestTheOldestNonceIsForgottenAndTheRestSurviveASnapshot(t *testing.T) {
	s := newState()
	command := func(i int) []byte {
		var n nonce
		n[0], n[1], n[2] = byte(i), byte(i>>8), 1
		data, err := encodeCommand(n, []Op{op("k", uint64(i), "v")})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for i := range rememberedNonces + 1 {
		if e, _ := s.apply(uint64(i+1), command(i)); e != OK {
			t.Fatalf("write %d: %q", i, e)
		}
	}
	s.members = committee{Index: 3, Servers: []server{{serverID(peerNamed(1), "0123456789abcdef"), true}}}
	s = throughSnapshot(t, s)
	if e, _ := s.apply(9000, command(0)); e != Conflict {
		t.Fatalf("a forgotten nonce: %q, expected a conflict", e)
	}
	if e, _ := s.apply(9001, command(1)); e != OK {
		t.Fatalf("a remembered nonce: %q, expected success", e)
	}
	if len(s.known) != rememberedNonces {
		t.Fatalf("%d nonces are remembered, expected %d", len(s.known), rememberedNonces)
	}
}

func TestWritesBeyondTheirBoundsAreRefused(t *testing.T) {
	big := strings.Repeat("x", MaxValue)
	for name, ops := range map[string][]Op{
		"none": {}, "no key": {op("", 0, "v")}, "long key": {op(strings.Repeat("k", MaxKey+1), 0, "v")},
		"long value": {op("k", 0, big+"x")}, "twice": {op("k", 0, "a"), op("k", 1, "b")},
		"too much": {op("a", 0, big), op("b", 0, big), op("c", 0, "v")}, "too many": make([]Op, MaxOps+1),
	} {
		if _, err := encodeCommand(newNonce(), ops); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := encodeCommand(newNonce(), []Op{op("a", 0, big), op("b", 0, big[:MaxValue-2])}); err != nil {
		t.Errorf("the largest write: %v", err)
	}
}

func TestHostileBytesNeitherCrashNorAllocate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes")
		s := newState()
		if e, written := s.apply(1, data); e != Denied || len(written) != 0 {
			t.Fatalf("%x was applied: %q", data, e)
		}
		if _, err := readState(bytes.NewReader(data)); err == nil {
			t.Fatalf("%x was restored", data)
		}
		_ = checkConfiguration(data) // must return
		var h hello
		_ = readFrame(bytes.NewReader(data), &h, maxHello) // must return
	})
	claims := []byte{0xff, 0xff, 0xff, 0xff, 0}
	if _, err := readRawFrame(bytes.NewReader(claims), maxFeed); err == nil || !strings.Contains(err.Error(), "claims") {
		t.Fatalf("a frame of 4 GiB: %v", err)
	}
}

func TestAViewGivesEachWatcherTheNewestInOrderAndNeverSplitsAWrite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		emitted := map[string]uint64{}
		v := newView(func(event any) {
			r := event.(Record)
			if r.Version != emitted[r.Key]+1 {
				t.Fatalf("%s version %d was emitted after %d", r.Key, r.Version, emitted[r.Key])
			}
			emitted[r.Key] = r.Version
		})
		newestOf := map[string]Record{}
		var before []Record
		var cursor, upto uint64
		got := map[string]Record{}
		pull := func() {
			for {
				records, to, _ := v.after(cursor)
				if to == cursor {
					return
				}
				at := cursor
				for _, r := range records {
					if r.Index < at || r.Index <= cursor {
						t.Fatalf("index %d after %d", r.Index, at)
					}
					at = r.Index
					got[r.Key] = r
				}
				for _, r := range newestOf {
					if r.Index == at && len(records) > 0 && !reflect.DeepEqual(got[r.Key], r) {
						t.Fatalf("the write at %d was split", at)
					}
				}
				cursor = to
			}
		}
		for range rapid.IntRange(1, 40).Draw(t, "writes") {
			upto++
			var batch []Record
			for _, k := range rapid.SliceOfNDistinct(rapid.IntRange(0, 5), 1, 3, rapid.ID).Draw(t, "keys") {
				key := fmt.Sprint("k", k)
				r := Record{Key: key, Version: newestOf[key].Version + 1, Index: upto, Value: make([]byte, rapid.SampledFrom([]int{0, 10, 400 << 10}).Draw(t, "size"))}
				newestOf[key] = r
				batch = append(batch, r)
			}
			v.advance(append(before, batch...), upto) // a source may begin with what another brought
			v.advance(batch, upto)
			before = batch
			if rapid.Bool().Draw(t, "pull") {
				pull()
			}
		}
		pull()
		if !reflect.DeepEqual(got, newestOf) {
			t.Fatal("a watcher misses a final value")
		}
	})
}
