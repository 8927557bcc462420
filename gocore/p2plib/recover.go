// The ledger of a peer that does not run: looked at, asked after at others, and made anew by an operator.

package p2plib

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"pyfl/gocore/identity"
	"pyfl/gocore/ledger"
	"pyfl/gocore/transport"
)

// Sentinels of a ledger on disk.
var (
	ErrRunning  = ledger.ErrRunning
	ErrNoLedger = ledger.ErrNoLedger
)

// LedgerOnDisk is what a data directory holds of the ledger.
type LedgerOnDisk struct {
	Self     PeerID   `msgpack:"self"`
	Ledger   string   `msgpack:"ledger"`
	Epoch    uint64   `msgpack:"epoch"`
	Recovery string   `msgpack:"recovery"`
	Voters   []PeerID `msgpack:"voters"`
	Votes    bool     `msgpack:"votes"`
	Index    uint64   `msgpack:"index"`
	Records  []Record `msgpack:"records"`
	Aside    string   `msgpack:"aside"` // where the old ledger went, of a recovery
}

// InspectLedger reads the ledger of a data directory in which no peer runs.
func InspectLedger(dataDir string) (LedgerOnDisk, error) {
	self, err := idOf(dataDir)
	if err != nil {
		return LedgerOnDisk{}, err
	}
	found, err := ledger.Inspect(dataDir, self)
	return onDisk(self, found, ""), err
}

// RecoverLedger makes a new ledger with this peer as its only voter, in the next epoch, and says what it was made from.
func RecoverLedger(dataDir string) (LedgerOnDisk, error) {
	self, err := idOf(dataDir)
	if err != nil {
		return LedgerOnDisk{}, err
	}
	found, aside, err := ledger.Recover(dataDir, self)
	return onDisk(self, found, aside), err
}

func onDisk(self PeerID, f ledger.Found, aside string) LedgerOnDisk {
	out := LedgerOnDisk{
		Self: self, Ledger: f.Ledger, Epoch: f.Epoch, Recovery: f.Recovery, Voters: f.Voters, Votes: f.Votes, Index: f.Index,
		Records: []Record{}, Aside: aside,
	}
	for _, r := range f.Records {
		r.Value = present(r.Value)
		out.Records = append(out.Records, Record(r))
	}
	if out.Voters == nil {
		out.Voters = []PeerID{}
	}
	return out
}

// idOf names the peer of a data directory; its key is not made here.
func idOf(dataDir string) (PeerID, error) {
	path := filepath.Join(dataDir, "identity.key")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w: %w: it is not a peer's data directory", ErrNoLedger, err)
	}
	key, err := identity.LoadKey(path)
	if err != nil {
		return "", err
	}
	return identity.IDOfKey(key)
}

// Survey asks the peers at some addresses where they stand.
type Survey struct {
	SwarmKey  string   `json:"swarm_key"`
	Addresses []string `json:"addresses"`
	TimeoutMs int64    `json:"timeout_ms"`
}

// Surveyed is one address's answer; Error "" when there was one.
type Surveyed struct {
	Address  string   `msgpack:"address"`
	Error    string   `msgpack:"error"`
	Peer     PeerID   `msgpack:"peer"`
	Ledger   string   `msgpack:"ledger"`
	Epoch    uint64   `msgpack:"epoch"`
	Recovery string   `msgpack:"recovery"`
	Voters   []PeerID `msgpack:"voters"`
	Index    uint64   `msgpack:"index"`  // of the newest entry or record that it has
	Leader   PeerID   `msgpack:"leader"` // with which it is in contact; "" without one
}

const maxSurvey = 256

// AskAround takes a Survey as JSON and asks every address at once, under an identity that is used for nothing else.
func AskAround(text []byte) ([]Surveyed, error) {
	survey := Survey{TimeoutMs: 3000}
	if err := json.Unmarshal(text, &survey); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	key, err := parseSwarmKey(survey.SwarmKey)
	if err != nil {
		return nil, err
	}
	if len(survey.Addresses) > maxSurvey || survey.TimeoutMs < 1 || survey.TimeoutMs > 60_000 {
		return nil, fmt.Errorf("%w: expected at most %d addresses and a timeout of 1 to 60000 ms", ErrConfig, maxSurvey)
	}
	throwaway, err := identity.LoadKey("")
	if err != nil {
		return nil, err
	}
	own, err := identity.New(key, throwaway)
	if err != nil {
		return nil, err
	}
	t, err := transport.New(transport.Config{Listen: "127.0.0.1:0", Identity: own})
	if err != nil {
		return nil, err
	}
	defer t.Close()
	t.Deafen() // it only asks
	ctx, cancel := context.WithTimeout(context.Background(), milliseconds(survey.TimeoutMs))
	defer cancel()
	answers := make([]Surveyed, len(survey.Addresses))
	var asking sync.WaitGroup
	for i, address := range survey.Addresses {
		asking.Go(func() {
			answer, err := ask(ctx, t, address)
			if err != nil {
				answer.Error = err.Error()
			}
			answer.Address = address
			answers[i] = answer
		})
	}
	asking.Wait()
	return answers, nil
}

func ask(ctx context.Context, t *transport.T, address string) (Surveyed, error) {
	conn, err := t.Dial(ctx, address, transport.Watch, "")
	if err != nil {
		return Surveyed{Voters: []PeerID{}}, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	answer, err := ledger.Ask(conn, t.Self(), conn.Peer(), time.Until(deadline))
	if err != nil {
		return Surveyed{Voters: []PeerID{}}, errors.Join(fmt.Errorf("peer %s", conn.Peer()), err)
	}
	return Surveyed{
		Peer: conn.Peer(), Ledger: answer.Ledger, Epoch: answer.Epoch, Recovery: answer.Recovery, Voters: answer.Voters,
		Index: answer.Index, Leader: answer.Leader,
	}, nil
}
