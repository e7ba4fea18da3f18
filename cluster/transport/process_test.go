package transport_test

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skerryhq/skerry/cluster/transport"
)

// childVariable makes the test's program a node that is to be killed.
const childVariable = "SKERRY_TRANSPORT_CHILD"

func beChild() {
	n, err := transport.Listen(transport.Config{Node: "child", Cluster: "c", Shards: 8, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	n.Serve(pong)
	fmt.Println(n.Self().Address)
	_, _ = os.Stdin.Read(make([]byte, 1)) // until whoever started it has ended
}

// child starts a node in a process of its own.
func child(t *testing.T) (*os.Process, transport.Peer) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = in.Close(), cmd.Wait() })
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return cmd.Process, transport.Peer{Node: "child", Address: strings.TrimSpace(address)}
}

// A real process that is stopped is silent and not gone; when it is killed it is gone, and nobody has to ask.
func TestStoppedProcessIsSilentAndAKilledOneIsGone(t *testing.T) {
	t.Parallel()
	process, peer := child(t)
	silent, gone := make(chan time.Time, 100), make(chan time.Time, 100)
	n, err := transport.Listen(transport.Config{
		Node: "parent", Cluster: "c", Shards: 8, Logger: slog.New(slog.DiscardHandler),
		Silent: func(transport.Peer) { silent <- time.Now() },
		Gone:   func(transport.Peer) { gone <- time.Now() },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Close() }()
	if err := checkOn(t, n, peer, nil); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped: silent after %v", (<-silent).Sub(began))
	if err := transport.Check(t.Context(), n, peer); !errors.Is(err, transport.ErrLost) && !errors.Is(err, transport.ErrUnreachable) || errors.Is(err, transport.ErrGone) {
		t.Errorf("a stopped process: %v", err)
	}
	if len(gone) > 0 {
		t.Error("a stopped process is told to be gone")
	}
	if err := process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := checkOn(t, n, peer, nil); err != nil {
		t.Errorf("a process that goes on: %v", err)
	}
	began = time.Now()
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	t.Logf("killed: gone after %v", (<-gone).Sub(began))
	if err := checkOn(t, n, peer, transport.ErrGone); !errors.Is(err, transport.ErrGone) {
		t.Errorf("a killed process: %v", err)
	}
}

// checkOn checks until the answer is the one: a check waits for a second only, which may pass on a busy machine.
func checkOn(t *testing.T, n *transport.Endpoint, peer transport.Peer, want error) (err error) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = transport.Check(t.Context(), n, peer); errors.Is(err, want) {
			break
		}
	}
	return err
}
