package identity

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

var keyA, keyB = bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)

func mint(t *testing.T, swarmKey []byte) *Identity {
	t.Helper()
	private, err := LoadKey("")
	if err != nil {
		t.Fatal(err)
	}
	own, err := New(swarmKey, private)
	if err != nil {
		t.Fatal(err)
	}
	return own
}

func stateOf(own *Identity) tls.ConnectionState {
	return tls.ConnectionState{PeerCertificates: []*x509.Certificate{own.Certificate.Leaf}}
}

func TestTheAuthorityIsAFunctionOfTheSwarmKey(t *testing.T) {
	one, _ := NewCA(keyA)
	two, _ := NewCA(keyA)
	other, _ := NewCA(keyB)
	if !bytes.Equal(one.DER(), two.DER()) {
		t.Fatal("the same swarm key gave two different CA certificates")
	}
	if bytes.Equal(one.DER(), other.DER()) {
		t.Fatal("two swarm keys gave the same CA certificate")
	}
}

func TestAMemberIsAcceptedAndAStrangerIsNot(t *testing.T) {
	a, b, stranger := mint(t, keyA), mint(t, keyA), mint(t, keyB)
	id, err := a.CA.Check(stateOf(b))
	if err != nil || id != b.ID || !ValidID(id) {
		t.Fatalf("member: %q, %v", id, err)
	}
	if _, err := a.CA.Check(stateOf(stranger)); !errors.Is(err, ErrOtherSwarm) {
		t.Fatalf("stranger: got %v, expected ErrOtherSwarm", err)
	}
	if _, err := a.CA.Check(tls.ConnectionState{PeerCertificates: []*x509.Certificate{a.CA.certificate}}); err == nil {
		t.Fatal("the CA's own certificate passed as a member's")
	}
	if _, err := a.CA.Check(tls.ConnectionState{}); err == nil {
		t.Fatal("no certificate passed")
	}
}

func TestAKeyFileIsCreatedPrivateAndKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.key")
	first, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := LoadKey(path)
	if err != nil || !first.Equal(second) {
		t.Fatalf("the key changed between two loads (%v)", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, expected 0600 (%v)", info.Mode(), err)
	}
	entries, _ := os.ReadDir(filepath.Dir(path))
	if len(entries) != 1 {
		t.Fatalf("a temporary file stayed: %v", entries)
	}
}

func TestACorruptKeyFileIsNeverReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.key")
	if err := os.WriteFile(path, []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(path); err == nil {
		t.Fatal("a corrupt file was accepted")
	}
	if content, _ := os.ReadFile(path); string(content) != "not a key" {
		t.Fatal("a corrupt file was overwritten")
	}
}

func TestASwarmKeyOfAnotherSizeIsRefused(t *testing.T) {
	if _, err := NewCA([]byte("short")); err == nil {
		t.Fatal("a short swarm key was accepted")
	}
}
