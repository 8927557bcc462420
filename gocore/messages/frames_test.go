package messages

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func TestAMessageSurvivesItsFrame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tag := rapid.SliceOfN(rapid.Byte(), 0, MaxTag).Draw(t, "tag")
		payload := rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "payload")
		frame := encodeFrame(KindMessage, []byte{byte(len(tag))}, tag, payload)
		kind, body, err := readFrame(bytes.NewReader(frame))
		if err != nil || kind != KindMessage {
			t.Fatalf("kind %d, %v", kind, err)
		}
		gotTag, gotPayload, err := splitMessage(body)
		if err != nil || !bytes.Equal(gotTag, tag) || !bytes.Equal(gotPayload, payload) {
			t.Fatalf("%q %q, %v", gotTag, gotPayload, err)
		}
	})
}

func TestNoBytesMakeAFrameReaderPanicOrAllocateMuch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "bytes")
		kind, body, err := readFrame(bytes.NewReader(b))
		if err == nil && kind == KindMessage {
			_, _, _ = splitMessage(body)
		}
		if len(body) > len(b) {
			t.Fatalf("%d bytes came out of %d", len(body), len(b))
		}
	})
}

func TestAClaimedLengthIsCheckedBeforeItIsAllocated(t *testing.T) {
	for kind, limit := range map[Kind]int{KindMessage: 1 + MaxTag + MaxPayload, KindGoodbye: 0, KindPost: maxControl} {
		head := make([]byte, frameHead)
		binary.BigEndian.PutUint32(head, uint32(limit+2))
		head[4] = byte(kind)
		if _, _, err := readFrame(bytes.NewReader(head)); !errors.Is(err, errFrame) {
			t.Fatalf("kind %d claims %d bytes: %v, expected errFrame", kind, limit+1, err)
		}
	}
	if _, _, err := readFrame(bytes.NewReader([]byte{0, 0, 0, 1, 99})); !errors.Is(err, errFrame) {
		t.Fatalf("an unknown kind: %v, expected errFrame", err)
	}
}
