// What a ledger needs from the node around it, with the defaults and their reasons.

package ledger

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Plane says what a connection of the ledger carries.
type Plane int

const (
	PlaneRaft  Plane = iota + 1 // Raft calls between members of the configuration
	PlaneWatch                  // watches, questions, forwarded writes: any member of the swarm
)

func (p Plane) String() string {
	switch p {
	case PlaneRaft:
		return "ledger"
	case PlaneWatch:
		return "watch"
	}
	return fmt.Sprintf("plane %d", int(p))
}

// Member is a live member of the swarm as membership sees it.
type Member struct {
	ID       PeerID
	Labels   map[string]string // "region" and "site" spread the committee
	Eligible bool              // may become a voter
}

// Config of a Ledger. Functions may be called from any goroutine, also from several at a time.
type Config struct {
	Self    PeerID
	DataDir string // the ledger lives in DataDir/ledger; "" keeps it in memory

	// Dial opens an authenticated connection: when it returns, the other end has proved to be peer.
	Dial func(ctx context.Context, peer PeerID, plane Plane) (net.Conn, error)
	// Listeners of the two planes; the ledger closes them. PeerOf names the proved peer of an accepted connection.
	RaftListener  net.Listener
	WatchListener net.Listener
	PeerOf        func(net.Conn) PeerID

	// Live returns the live members, this peer included. It must not block.
	Live func() []Member
	// MayControl says whether a peer may write control records; nil allows every member.
	MayControl func(PeerID) bool

	Found  bool      // bootstrap a new ledger when DataDir has none
	Follow Overtaken // with a new log: belong to this lineage from the start; zero: to the first that is met
	Voters int       // wanted committee; 0 chooses 1 (up to 2 eligible peers), 3 (up to 4), else 5
	Fsync  bool      // writes reach the disk before they count

	Heartbeat    time.Duration // Raft's heartbeat and election timeout, 2.5 s; the lease is half of it
	Grace        time.Duration // how long a voter may be away unconfirmed before it is replaced, 4 heartbeats
	WriteTimeout time.Duration // of Write and Barrier, 4 heartbeats

	SnapshotThreshold uint64 // log entries between snapshots, 1024
	TrailingLogs      uint64 // log entries kept behind a snapshot for slow followers, 1024

	// Events takes every event, one at a time and in order. It must neither block nor call the ledger.
	Events func(any)
	Logger hclog.Logger // nil is silent
}

// defaultHeartbeat: training saturates the cores, and shorter ones caused false elections.
const defaultHeartbeat = 2500 * time.Millisecond

func (c Config) withDefaults() (Config, error) {
	if !validPeer(c.Self) {
		return c, fmt.Errorf("ledger: Self is %q, expected a peer id of 32 lower-case hexadecimal characters", c.Self)
	}
	if c.Dial == nil || c.RaftListener == nil || c.WatchListener == nil || c.PeerOf == nil || c.Live == nil || c.Events == nil {
		return c, errors.New("ledger: Dial, RaftListener, WatchListener, PeerOf, Live and Events are all required")
	}
	if c.Voters < 0 || c.Voters > 9 {
		return c, fmt.Errorf("ledger: Voters is %d, expected 0 (automatic) to 9", c.Voters)
	}
	if c.Heartbeat == 0 {
		c.Heartbeat = defaultHeartbeat
	}
	if c.Heartbeat < 20*time.Millisecond {
		return c, fmt.Errorf("ledger: Heartbeat is %v, expected at least 20ms", c.Heartbeat)
	}
	if c.Grace == 0 {
		c.Grace = 4 * c.Heartbeat
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = 4 * c.Heartbeat
	}
	if c.SnapshotThreshold == 0 {
		c.SnapshotThreshold = 1024
	}
	if c.TrailingLogs == 0 {
		c.TrailingLogs = 1024
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return c, nil
}

func validPeer(id PeerID) bool {
	if len(id) != 32 {
		return false
	}
	for _, c := range id {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
