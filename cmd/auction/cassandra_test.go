package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/cassandra"
	nodes "github.com/skerryhq/skerry/journal/cassandra/launch"
	"github.com/skerryhq/skerry/readside/postgres/postgrestest"
)

// node is one Cassandra node for all tests of this package, tableServer one PostgreSQL.
var (
	node        nodes.Shared
	tableServer postgrestest.Shared
)

// thenStop stops both when all tests have run.
type thenStop struct{ *testing.M }

func (m thenStop) Run() int {
	defer node.Stop()
	defer tableServer.Stop()
	return m.M.Run()
}

var keyspaces atomic.Int64

// inCassandra returns the URL of a new journal, which is gone at the test's end.
func inCassandra(t *testing.T) string {
	t.Helper()
	url := fmt.Sprintf("cassandra://%s/auction_%d_%d?dev=1", node.Hosts(t)[0], time.Now().UnixNano(), keyspaces.Add(1))
	t.Cleanup(func() {
		cfg, err := cassandra.ParseURL(url, os.Getenv)
		if err == nil {
			err = cassandra.DropKeyspace(context.WithoutCancel(t.Context()), cfg)
		}
		if err != nil {
			t.Error(err)
		}
	})
	return url
}

// A start on Cassandra takes longer than one on a folder, so there are fewer: SKERRY_KILL_ROUNDS, or a few. The
// third is the first that is followed by a kill while the service starts.
const (
	cassandraRounds = 3
	cassandraStart  = time.Second
)

func killRounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SKERRY_KILL_ROUNDS")
	if text == "" {
		return cassandraRounds
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("SKERRY_KILL_ROUNDS: %v", err)
	}
	return n
}

// TestNothingIsLostOnCassandraWhenTheProcessIsKilled is the kill test with the journal in Cassandra: what the dead process
// has sent may arrive after the next one has claimed the logs.
func TestNothingIsLostOnCassandraWhenTheProcessIsKilled(t *testing.T) {
	t.Parallel()
	url := inCassandra(t)
	k := newKiller(t)
	k.journal = url
	k.open = func(string) (journal.Journal, error) {
		cfg, err := cassandra.ParseURL(url, os.Getenv)
		if err != nil {
			return nil, err
		}
		cfg.Timeout = patience // of a look
		return cassandra.Open(t.Context(), cfg)
	}
	k.run(killRounds(t), cassandraStart)
}

func TestTheRecordedBidsComeOutOnCassandraToo(t *testing.T) {
	t.Parallel()
	file := sharedFile(t, filepath.Join("data", "ebay-bids.csv"))
	replayed(t, file, "-journal", inCassandra(t))
}
