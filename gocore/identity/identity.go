// Package identity says who a peer is: an Ed25519 key, the swarm's CA derived from the swarm key, and the
// certificate that joins the two.
package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// PeerID names a peer: 32 lower-case hexadecimal characters, the first 16 bytes of the SHA-256 of its public
// key (SubjectPublicKeyInfo, DER).
type PeerID = string

// PeerIDSize is the length of a PeerID in characters.
const PeerIDSize = 32

// Identity is what one peer presents and what it accepts: its certificate under the swarm's CA, and that CA.
type Identity struct {
	ID          PeerID
	Certificate tls.Certificate
	CA          *CA
}

// New mints a member certificate for key under the CA of swarmKey (32 bytes).
func New(swarmKey []byte, key ed25519.PrivateKey) (*Identity, error) {
	ca, err := NewCA(swarmKey)
	if err != nil {
		return nil, err
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("identity: the key is not Ed25519")
	}
	der, err := ca.issue(public)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("identity: own certificate: %w", err)
	}
	return &Identity{
		ID:          IDOf(leaf),
		Certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
		CA:          ca,
	}, nil
}

// IDOf is the peer id of a certificate's holder.
func IDOf(certificate *x509.Certificate) PeerID { return idOf(certificate.RawSubjectPublicKeyInfo) }

// IDOfKey is the peer id of a key's holder, whatever the swarm.
func IDOfKey(key ed25519.PrivateKey) (PeerID, error) {
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return "", fmt.Errorf("identity: %w", err)
	}
	return idOf(public), nil
}

func idOf(public []byte) PeerID {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:PeerIDSize/2])
}

// ValidID says whether text has the form of a peer id.
func ValidID(text string) bool {
	if len(text) != PeerIDSize {
		return false
	}
	for _, c := range []byte(text) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

const pemType = "PRIVATE KEY"

// LoadKey reads the PEM file at path, or creates it with mode 0600 when it is absent; "" makes a key that
// lives in memory only. A file that is not an Ed25519 key is an error: it is never replaced.
func LoadKey(path string) (ed25519.PrivateKey, error) {
	if path == "" {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("identity file: %w", err)
	}
	return parseKey(path, content)
}

func parseKey(path string, content []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(content)
	if block == nil || block.Type != pemType {
		return nil, fmt.Errorf("identity file %s: no PEM block %q found; move the file away to get a new identity", path, pemType)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("identity file %s: %w; move the file away to get a new identity", path, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("identity file %s: holds a %T, expected an Ed25519 key", path, parsed)
	}
	return key, nil
}

// createKey writes to a temporary name and links it into place, so that two processes that start at once with the
// same path end up with the same key instead of one overwriting the other.
func createKey(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".identity-*") // CreateTemp makes it 0600
	if err != nil {
		return nil, fmt.Errorf("identity file: %w", err)
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}))
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err != nil {
		return nil, fmt.Errorf("identity file: %w", err)
	}
	if err := os.Link(temporary.Name(), path); errors.Is(err, fs.ErrExist) {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("identity file: %w", err)
		}
		return parseKey(path, content)
	} else if err != nil {
		return nil, fmt.Errorf("identity file: %w", err)
	}
	return key, nil
}
