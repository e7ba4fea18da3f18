package launch

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// AddressVariable names the environment variable with the address of a node that runs
// already (host:port; of `make cassandra`, say). Tests then use it instead of
// starting one.
const AddressVariable = "SKERRY_CASSANDRA"

// Shared is one node for all tests of a process: the first that asks starts it, and
// TestMain stops it. Each test uses a keyspace of its own.
//
//	var node launch.Shared
//
//	func TestMain(m *testing.M) {
//		code := m.Run()
//		node.Stop()
//		os.Exit(code)
//	}
type Shared struct {
	// Config is what is started.
	Config Config

	mu      sync.Mutex
	cluster *Cluster
	err     error
}

// startPatience bounds the start of a cluster in tests: per node, and with the jars fetched.
const startPatience = 3 * time.Minute

// Hosts returns where the shared node takes CQL. It skips the test unless
// SKERRY_REQUIRE names cassandra.
func (s *Shared) Hosts(t testing.TB) []string {
	t.Helper()
	if host := os.Getenv(AddressVariable); host != "" {
		return []string{host}
	}
	return s.Cluster(t).Hosts()
}

// Cluster is like Hosts, for tests that do something to the nodes: they own
// their Shared. The nodes are always started here.
func (s *Shared) Cluster(t testing.TB) *Cluster {
	t.Helper()
	wanted(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cluster == nil && s.err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), startPatience) // the node outlives the test
		defer cancel()
		s.cluster, s.err = Start(ctx, s.Config)
	}
	require(t, s.err)
	return s.cluster
}

// ForTest starts a cluster for one test, which ends with the test.
func ForTest(t testing.TB, cfg Config) *Cluster {
	t.Helper()
	s := &Shared{Config: cfg}
	t.Cleanup(s.Stop)
	return s.Cluster(t)
}

// wanted skips the test where nobody asked for it: real nodes take minutes, and a gigabyte of memory.
func wanted(t testing.TB) {
	t.Helper()
	if !strings.Contains(os.Getenv("SKERRY_REQUIRE"), "cassandra") {
		t.Skip("NOT TESTED on Cassandra: set SKERRY_REQUIRE=cassandra, where Java 17 and Maven are, to test it")
	}
}

// require ends the test when there is no node.
func require(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Stop ends the shared node, if one was started.
func (s *Shared) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cluster != nil {
		_ = s.cluster.Stop() // a directory that stays behind fails no test
	}
	s.cluster, s.err = nil, errors.New("launch: the shared node was stopped")
}
