// Nodes in processes of their own, to be killed and stopped.

package p2plib

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const childEnv = "P2PLIB_TEST_CHILD"

// child is a node that only reads its events, until it is killed.
func child(text string) {
	config, err := ParseConfig([]byte(text))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	node, err := Open(config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	id, address := node.Self()
	fmt.Println(id, address)
	for {
		if _, err := node.Next(time.Minute); err != nil {
			return
		}
	}
}

type process struct {
	*exec.Cmd
	id, address string
}

func startProcess(t *testing.T, config Config) *process {
	t.Helper()
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), childEnv+"="+string(text))
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: command}
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child said nothing: %v", err)
	}
	fields := strings.Fields(line)
	p.id, p.address = fields[0], fields[1]
	return p
}

func (p *process) kill() {
	_ = p.Process.Kill()
	_ = p.Wait()
}

func down(peer PeerID, reason string) func(PeerDown) bool {
	return func(e PeerDown) bool { return e.Peer == peer && e.Reason == reason }
}

func TestAKilledProcessIsConfirmedDownAndItsNextLifeIsUp(t *testing.T) {
	a, b := pair(t, unchanged)
	config := testConfig(a.address())
	config.IdentityFile = filepath.Join(t.TempDir(), "identity.key")
	c := startProcess(t, config)
	await(a, up(c.id))
	await(b, up(c.id))
	buffer := make([]byte, 100)
	receive, err := a.Receive(c.id, []byte("never"), buffer, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.kill()
	for _, n := range []*watched{a, b} {
		if e := await(n, down(c.id, "refused")); !e.Confirmed {
			t.Fatalf("got %+v", e)
		}
	}
	if e := await(a, func(e Received) bool { return e.Transfer == receive }); e.Error != "peer_lost" {
		t.Fatalf("got %+v, expected peer_lost", e)
	}
	if _, err := a.Receive(c.id, []byte("never"), buffer, 0); err == nil {
		t.Fatal("a receive from the dead was taken")
	}
	a.forget()
	b.forget()
	config.Listen = c.address // the same identity at the same address
	again := startProcess(t, config)
	if again.id != c.id {
		t.Fatal("the identity changed")
	}
	await(a, up(c.id))
	await(b, up(c.id))
	a.forget()
	again.kill()
	await(a, down(c.id, "refused"))
	config.Listen = "127.0.0.1:0" // ... and elsewhere
	moved := startProcess(t, config)
	if e := await(a, up(c.id)); e.Address != moved.address {
		t.Fatalf("up at %s, expected %s", e.Address, moved.address)
	}
}

func TestAStoppedProcessIsAHintAndIsUpAgainWhenItGoesOn(t *testing.T) {
	a, b := pair(t, unchanged)
	c := startProcess(t, testConfig(a.address()))
	await(a, up(c.id))
	await(b, up(c.id))
	a.forget()
	if err := c.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if e := await(a, down(c.id, "gossip")); e.Confirmed {
		t.Fatalf("gossip alone confirmed a death: %+v", e)
	}
	a.forget()
	if err := c.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	await(a, up(c.id))
}
