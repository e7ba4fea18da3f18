package postgrestest

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
)

// Where an element of these lists is "postgres" (elements are separated by commas), tests fail that lack
// something, or are skipped although nothing is lacking.
const (
	requireVariable = "SKERRY_REQUIRE"
	skipVariable    = "SKERRY_SKIP"
)

// Shared is one server for all tests of a process: the first that asks starts it, and TestMain stops it. Its
// zero value is ready; tests may use it concurrently.
type Shared struct {
	mu     sync.Mutex
	server *Server
	err    error
}

// URL returns the address of an empty schema; see [Server.URL].
func (s *Shared) URL(t testing.TB) string {
	t.Helper()
	return s.Server(t).URL(t)
}

// Server returns the server, which no test may stop.
func (s *Shared) Server(t testing.TB) *Server {
	t.Helper()
	wanted(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil && s.err == nil {
		s.server, s.err = startNow()
	}
	require(t, s.err)
	return s.server
}

// Stop ends the server, if one was started.
func (s *Shared) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		_ = s.server.stop() // a folder that stays behind fails no test
	}
	s.server, s.err = nil, errors.New("postgrestest: the shared server was stopped")
}

// ForTest runs a server for one test, which ends with the test.
func ForTest(t testing.TB) *Server {
	t.Helper()
	wanted(t)
	s, err := startNow()
	require(t, err)
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// startNow starts a server that outlives the test which asked first.
func startNow() (*Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	return start(ctx)
}

// wanted skips the test where nobody wants a server.
func wanted(t testing.TB) {
	t.Helper()
	switch {
	case testing.Short():
		t.Skip("NOT TESTED on PostgreSQL: -short leaves it out")
	case names(skipVariable):
		t.Skipf("NOT TESTED on PostgreSQL: %s leaves it out", skipVariable)
	}
}

// names tells whether a list in the environment has postgres in it.
func names(variable string) bool { return strings.Contains(os.Getenv(variable), "postgres") }

// require ends the test when there is no server: it is skipped if this machine has none, unless it must.
func require(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case !names(requireVariable) && errors.Is(err, errMissing):
		t.Skipf("NOT TESTED on PostgreSQL: %v", err)
	default:
		t.Fatal(err)
	}
}
