// The swarm's certificate authority: a pure function of the swarm key, so that whoever holds the key can mint a
// member's certificate and two machines need to share nothing else.

package identity

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// SwarmKeySize is the size of a swarm key in bytes.
const SwarmKeySize = 32

const caLabel = "pyfl swarm certificate authority v1"

// The CA's certificate must be the same on every machine, so its dates are constants. Member certificates minted from
// the shared key take the same ones: an expiry that every holder can renew protects nothing, and a machine
// whose clock is wrong should not be shut out.
var (
	notBefore = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// CA signs and checks the certificates of one swarm.
type CA struct {
	key         ed25519.PrivateKey
	certificate *x509.Certificate
	roots       *x509.CertPool
}

// NewCA derives the authority of a swarm key.
func NewCA(swarmKey []byte) (*CA, error) {
	if len(swarmKey) != SwarmKeySize {
		return nil, fmt.Errorf("swarm key: %d bytes, expected %d", len(swarmKey), SwarmKeySize)
	}
	seed, err := hkdf.Key(sha256.New, swarmKey, nil, caLabel, ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("swarm key: %w", err)
	}
	key := ed25519.NewKeyFromSeed(seed)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "pyfl swarm"},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	// Ed25519 signatures are deterministic: the same key gives the same certificate, byte for byte.
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("swarm CA: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("swarm CA: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	return &CA{key: key, certificate: certificate, roots: roots}, nil
}

// DER is the CA's certificate.
func (ca *CA) DER() []byte { return ca.certificate.Raw }

func (ca *CA) issue(public ed25519.PublicKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: "pyfl member"},
		NotBefore:    notBefore,
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.certificate, public, ca.key)
	if err != nil {
		return nil, fmt.Errorf("member certificate: %w", err)
	}
	return der, nil
}

// ErrOtherSwarm says that a certificate does not chain to this swarm's CA.
var ErrOtherSwarm = errors.New("the certificate is not of this swarm: the other side has another swarm key")

// Check is the one test of a connection, for crypto/tls's VerifyConnection (which session resumption does not skip):
// an Ed25519 certificate that chains to this swarm's CA. Names are not compared: peers are known by key.
func (ca *CA) Check(state tls.ConnectionState) (PeerID, error) {
	if len(state.PeerCertificates) == 0 {
		return "", errors.New("no certificate was presented")
	}
	leaf := state.PeerCertificates[0]
	if _, ok := leaf.PublicKey.(ed25519.PublicKey); !ok {
		return "", fmt.Errorf("the certificate's key is a %T, expected Ed25519", leaf.PublicKey)
	}
	if leaf.IsCA {
		return "", errors.New("a CA certificate cannot be a member's")
	}
	options := x509.VerifyOptions{Roots: ca.roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	if _, err := leaf.Verify(options); err != nil {
		return "", fmt.Errorf("%w (%v)", ErrOtherSwarm, err)
	}
	return IDOf(leaf), nil
}
