package membership

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

func pushPull(nodes, user int) []byte {
	b, _ := msgpack.Marshal(map[string]any{"Nodes": nodes, "UserStateLen": user, "Join": true})
	return append([]byte{typePushPull}, b...)
}

func TestStreamsThatClaimTooMuchAreRefused(t *testing.T) {
	for name, head := range map[string][]byte{
		"a million nodes":  pushPull(1_000_000, 0),
		"negative":         pushPull(-1, 0),
		"user state":       pushPull(1, 20_000_000),
		"compressed":       {9, 1, 2},
		"a user's message": {8, 1, 2},
		"noise":            bytes.Repeat([]byte{0xc1}, 600),
		"nothing":          {},
	} {
		if checkStream(bytes.NewReader(head)) == nil {
			t.Errorf("%s: let through", name)
		}
	}
}

func TestAStreamIsReadAsItCame(t *testing.T) {
	near, far := net.Pipe()
	sent := append(pushPull(3, 0), bytes.Repeat([]byte("rest"), 1000)...)
	go func() {
		_, _ = far.Write(sent)
		_ = far.Close()
	}()
	got, err := io.ReadAll(&stream{Conn: near})
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d bytes of %d, %v", len(got), len(sent), err)
	}
}
