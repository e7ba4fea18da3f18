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

// Where an element of these lists is "cassandra" (elements are separated by commas), tests fail that lack
// something, or are skipped although nothing is lacking.
const (
	requireVariable = "SKERRY_REQUIRE"
	skipVariable    = "SKERRY_SKIP"
)

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
//
// A test that asks is skipped with -short, where SKERRY_SKIP names cassandra, and where Java 17 or Cassandra's jars
// cannot be had; that fails it where SKERRY_REQUIRE names cassandra. It waits while the
// tests of another process use nodes.
type Shared struct {
	// Config is what is started. Nodes for tests are brief ones.
	Config Config

	mu      sync.Mutex
	cluster *Cluster
	err     error
}

// startPatience bounds the start of a cluster in tests, for each of its nodes, which start one after the other, and with the jars fetched.
const startPatience = 3 * time.Minute

// Hosts returns where the shared node takes CQL.
func (s *Shared) Hosts(t testing.TB) []string {
	t.Helper()
	wanted(t)
	if host := os.Getenv(AddressVariable); host != "" {
		return []string{host}
	}
	return s.Cluster(t).Hosts()
}

// Cluster is like Hosts, for tests that do something to the nodes: they own
// their Shared. The nodes are always started here.
func (s *Shared) Cluster(t testing.TB) *Cluster {
	t.Helper()
	cfg := s.prepare(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cluster == nil && s.err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), startPatience*time.Duration(cfg.Nodes)) // the node outlives the test
		defer cancel()
		s.cluster, s.err = Start(ctx, cfg)
	}
	require(t, s.err)
	t.Cleanup(func() { s.check(t) })
	return s.cluster
}

// prepare waits until the test may use nodes, and says which.
func (s *Shared) prepare(t testing.TB) Config {
	t.Helper()
	wanted(t)
	cfg, err := s.Config.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	_, measuring := t.(*testing.B)
	cfg.Brief = !measuring
	tests.take(t, cfg.Cache)
	return cfg
}

// check fails a test during which a node has ended that nobody ended.
func (s *Shared) check(t testing.TB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cluster == nil {
		return
	}
	if err := s.cluster.Died(); err != nil {
		t.Error(err)
	}
}

// ForTest starts a cluster for one test, which ends with the test.
func ForTest(t testing.TB, cfg Config) *Cluster {
	t.Helper()
	s := &Shared{Config: cfg}
	s.prepare(t) // the turn ends behind the nodes
	t.Cleanup(s.Stop)
	return s.Cluster(t)
}

// wanted skips the test where nobody wants nodes: they take memory, and seconds to start.
func wanted(t testing.TB) {
	t.Helper()
	switch {
	case testing.Short():
		t.Skip("NOT TESTED on Cassandra: -short leaves it out")
	case names(skipVariable):
		t.Skipf("NOT TESTED on Cassandra: %s leaves it out", skipVariable)
	}
}

// longVariable is set where proofs that take minutes are wanted.
const longVariable = "SKERRY_LONG"

// Long skips a proof that takes minutes, several nodes mostly, unless SKERRY_LONG is set: it is for .ci, not for in between.
func Long(t testing.TB) {
	t.Helper()
	if os.Getenv(longVariable) == "" {
		t.Skipf("NOT TESTED: it takes minutes; .ci/cassandra or .ci/cluster does it, or set %s=1", longVariable)
	}
}

// names tells whether a list in the environment has cassandra in it.
func names(variable string) bool { return strings.Contains(os.Getenv(variable), "cassandra") }

// require ends the test when there is no node: it is skipped if this machine cannot run one, unless it must.
func require(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case !names(requireVariable) && (errors.Is(err, ErrMissing) || errors.Is(err, ErrFetch)):
		t.Skipf("NOT TESTED on Cassandra: %v", err)
	default:
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
