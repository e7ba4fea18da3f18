package launch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startPatience)
	t.Cleanup(cancel)
	return ctx
}

// One test at a time: each starts Javas, and the machine may be small.

func TestNodesComeBackAfterStopAndKill(t *testing.T) {
	ctx := within(t)
	c := ForTest(t, Config{Nodes: 2, DataCenters: []string{"north", "south"}})
	first, second := c.Nodes[0], c.Nodes[1]
	for _, n := range c.Nodes {
		if err := n.probe(ctx); err != nil {
			t.Errorf("%s: %v", n.Address(), err)
		}
	}
	if err := second.Restart(ctx); err == nil {
		t.Error("a running node was started again")
	}
	second.Kill()
	if err := second.probe(ctx); err == nil || second.Pid() != 0 {
		t.Errorf("a killed node has pid %d and answers %v", second.Pid(), err)
	}
	if err := second.Resume(); err == nil {
		t.Error("a killed node was resumed")
	}
	if err := second.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	first.Stop()
	if err := first.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(first.Log())
	if err != nil || strings.Count(string(log), "Starting listening for CQL clients") != 2 {
		t.Errorf("the log of a node does not tell of both its starts: %v", err)
	}
}

func TestAPausedNodeHoldsItsConnections(t *testing.T) {
	ctx := within(t)
	c := ForTest(t, Config{Password: true, TLS: true})
	n := c.Nodes[0]
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
	if c.CA == "" {
		t.Error("no certificate to trust")
	}
}

func TestAFailedStartTellsTheNodesWords(t *testing.T) {
	wanted(t)
	cfg := Config{Dir: t.TempDir(), PaxosVariant: "v9"}
	c, err := Start(within(t), cfg)
	if err == nil || !strings.Contains(err.Error(), "'v9'") {
		t.Errorf("a cluster of a Paxos that does not exist: %v, %v", c, err)
	}
}

func TestAPortInUseIsNotTakenForTheNode(t *testing.T) {
	c := ForTest(t, Config{})
	cfg := c.cfg
	cfg.Dir = t.TempDir()
	if _, err := Start(within(t), cfg); err == nil || !strings.Contains(err.Error(), "Config.Port") {
		t.Errorf("a second cluster on the same port: %v", err)
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

func TestAStartEndsWithItsContext(t *testing.T) {
	wanted(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	c, err := Start(ctx, Config{Dir: t.TempDir()})
	if err == nil {
		t.Error(c.Stop(), "a node started in no time")
	}
}
