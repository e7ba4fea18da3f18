package launch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startPatience)
	t.Cleanup(cancel)
	return ctx
}

// One test of nodes at a time: each starts Javas, and the machine may be small.

func TestANodeIsPausedKilledAndRestarted(t *testing.T) {
	c := ForTest(t, Config{Password: true, TLS: true})
	ctx, n := within(t), c.Nodes[0]
	if err := n.await(ctx, "it does not take CQL", n.probe); err != nil {
		t.Error(err)
	}
	if err := n.Restart(ctx); err == nil {
		t.Error("a running node was started again")
	}
	other := c.cfg
	other.Dir = t.TempDir()
	if _, err := Start(ctx, other); err == nil || !strings.Contains(err.Error(), "Config.Port") {
		t.Errorf("a second cluster on the same port: %v", err)
	}
	if err := n.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := n.probe(ctx); err == nil || n.Pid() == 0 {
		t.Errorf("a paused node has pid %d and answers %v", n.Pid(), err)
	}
	if err := n.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := n.await(ctx, "it does not take CQL", n.probe); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(ctx); err == nil || !strings.Contains(err.Error(), "ended by itself") || !strings.Contains(err.Error(), "INFO") {
		t.Errorf("of a node that was killed by others: %v", err)
	}
	if err := n.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	n.Stop()
	if err := n.probe(ctx); err == nil || n.Pid() != 0 || n.Died() != nil {
		t.Errorf("a stopped node has pid %d and answers %v", n.Pid(), err)
	}
	if err := n.Resume(); err == nil {
		t.Error("a stopped node was resumed")
	}
	log, err := os.ReadFile(n.Log())
	if err != nil || strings.Count(string(log), "Starting listening for CQL clients") != 2 {
		t.Errorf("the log of a node does not tell of both its starts: %v", err)
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	t.Setenv("JAVA_HOME", t.TempDir())
	if _, err := Start(within(t), Config{}); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "JAVA_HOME") {
		t.Errorf("without Java: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := jars(within(t), Config{Cache: t.TempDir()}); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "Maven") {
		t.Errorf("without Maven: %v", err)
	}
	old := filepath.Join(t.TempDir(), "java")
	if err := os.WriteFile(old, []byte("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(old))
	t.Setenv("JAVA_HOME", "")
	if _, err := java17(within(t)); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "11.0.2") {
		t.Errorf("with Java 11: %v", err)
	}
}

func TestBadConfigIsRefused(t *testing.T) {
	t.Parallel()
	for _, nodes := range []int{-1, MaxNodes + 1} {
		if _, err := Start(t.Context(), Config{Nodes: nodes}); err == nil || !strings.Contains(err.Error(), "Config.Nodes") {
			t.Errorf("%d nodes: %v", nodes, err)
		}
	}
}

func TestAFailedStartTellsTheNodesWords(t *testing.T) {
	able(t)
	cfg := Config{Dir: t.TempDir(), PaxosVariant: "v9"}
	c, err := Start(within(t), cfg)
	if err == nil || !strings.Contains(err.Error(), "'v9'") {
		t.Errorf("a cluster of a Paxos that does not exist: %v, %v", c, err)
	}
}

func TestAStartEndsWithItsContext(t *testing.T) {
	able(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	c, err := Start(ctx, Config{Dir: t.TempDir()})
	if err == nil {
		t.Error(c.Stop(), "a node started in no time")
	}
}

func TestANodeWithoutMemoryEndsAndSaysSo(t *testing.T) {
	able(t)
	t.Setenv("_JAVA_OPTIONS", "-Xms10m -Xmx10m") // stronger than the arguments
	c, err := Start(within(t), Config{Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "OutOfMemoryError") {
		t.Errorf("a node without memory: %v, %v", c, err)
	}
}

// able skips the test where nodes cannot start.
func able(t *testing.T) {
	t.Helper()
	wanted(t)
	cfg, err := Config{}.withDefaults()
	if err == nil {
		_, err = java17(t.Context())
	}
	if err == nil {
		_, err = jars(within(t), cfg)
	}
	require(t, err)
}
