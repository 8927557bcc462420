// Package p2plib is a flat peer-to-peer overlay: who is here, send, receive, and a small replicated record store.
//
// It knows peers, bytes and records, and nothing of what they mean. The C interface in include/p2plib.h is this package,
// call by call.
package p2plib

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"pyfl/gocore/identity"
	"pyfl/gocore/membership"
	"pyfl/gocore/transport"
)

// Config of a node. Its JSON form is documented in include/p2plib.h.
type Config struct {
	Listen        string            `json:"listen"`
	Advertise     string            `json:"advertise"`
	Name          string            `json:"name"`
	Labels        map[string]string `json:"labels"`
	SwarmKey      string            `json:"swarm_key"`
	IdentityFile  string            `json:"identity_file"`
	DataDir       string            `json:"data_dir"`
	Join          []string          `json:"join"`
	Found         bool              `json:"found"`
	Expect        int               `json:"expect"`
	JoinTimeoutMs int64             `json:"join_timeout_ms"`
	Voters        int               `json:"voters"`
	Inbox         int               `json:"inbox"`
	BulkStreams   int               `json:"bulk_streams"`
	Congestion    string            `json:"congestion"`
	Fsync         bool              `json:"fsync"`
	HeartbeatMs   int64             `json:"heartbeat_ms"`
	ProbeMs       int64             `json:"probe_ms"`
	TransferMs    int64             `json:"transfer_ms"`
	Gossip        bool              `json:"gossip"`

	version transport.Version                                        // tests stand in for other builds; zero: this one's
	connect func(ctx context.Context, addr string) (net.Conn, error) // nil: TCP
}

// Defaults are what a configuration holds before its JSON is read.
func Defaults() Config {
	return Config{
		JoinTimeoutMs: 60_000,
		Inbox:         1024,
		Fsync:         true,
		HeartbeatMs:   2500,
		ProbeMs:       500,
		TransferMs:    10_000,
		Gossip:        true,
	}
}

// ParseConfig reads the JSON form over the defaults. Errors are ErrConfig and name the key.
func ParseConfig(text []byte) (Config, error) {
	config := Defaults()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&config); err != nil {
		return config, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return config, fmt.Errorf("%w: more than one JSON object", ErrConfig)
	}
	return config, nil
}

// MaxBulkStreams bounds connections per peer for bulk data.
const MaxBulkStreams = 8

func parseSwarmKey(text string) ([]byte, error) {
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != identity.SwarmKeySize {
		return nil, fmt.Errorf("%w: swarm_key: expected %d hexadecimal characters", ErrConfig, 2*identity.SwarmKeySize)
	}
	return key, nil
}

// check validates and returns the swarm key's bytes.
func (c Config) check() ([]byte, error) {
	key, err := parseSwarmKey(c.SwarmKey)
	if err != nil {
		return nil, err
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return nil, fmt.Errorf("%w: listen: %q is not ip:port", ErrConfig, c.Listen)
	}
	if c.Advertise != "" {
		host, _, err := net.SplitHostPort(c.Advertise)
		if err != nil || net.ParseIP(host) == nil {
			return nil, fmt.Errorf("%w: advertise: %q is not ip:port", ErrConfig, c.Advertise)
		}
	}
	for _, address := range c.Join {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return nil, fmt.Errorf("%w: join: %q is not host:port", ErrConfig, address)
		}
	}
	if err := membership.CheckSelf(c.Name, c.Labels); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	for _, bound := range []struct {
		key             string
		value, min, max int64
	}{
		{"expect", int64(c.Expect), 0, 10_000},
		{"join_timeout_ms", c.JoinTimeoutMs, 1, 1 << 40},
		{"voters", int64(c.Voters), 0, 9},
		{"inbox", int64(c.Inbox), 1, 1 << 20},
		{"bulk_streams", int64(c.BulkStreams), 0, MaxBulkStreams},
		{"heartbeat_ms", c.HeartbeatMs, 20, 1 << 30},
		{"probe_ms", c.ProbeMs, 20, 1 << 30},
		{"transfer_ms", c.TransferMs, 1, 1 << 40},
	} {
		if bound.value < bound.min || bound.value > bound.max {
			return nil, fmt.Errorf("%w: %s: %d, expected %d to %d", ErrConfig, bound.key, bound.value, bound.min, bound.max)
		}
	}
	return key, nil
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
