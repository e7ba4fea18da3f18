package cassandra

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/cassandra/launch"
	"github.com/skerryhq/skerry/journal/journaltest"
)

// node is one Cassandra node for all tests that do nothing to it.
var node launch.Shared

func TestMain(m *testing.M) {
	code := m.Run()
	node.Stop()
	// The driver lets what it does about a node's events end by itself.
	events := goleak.IgnoreAnyFunction("github.com/gocql/gocql.(*Session).handleNodeEvent")
	if err := goleak.Find(events); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var keyspaces atomic.Int64

// newKeyspace names a keyspace that no test had before, of any process.
func newKeyspace() string {
	return fmt.Sprintf("t%d_%d", time.Now().UnixNano(), keyspaces.Add(1))
}

// fresh is a config for an empty journal on the shared node, gone at the test's
// end: a node of a small heap does not bear hundreds of tables.
func fresh(t testing.TB) Config {
	cfg := Config{Hosts: node.Hosts(t), Keyspace: newKeyspace(), Development: true}
	t.Cleanup(func() { drop(t, cfg) })
	return cfg
}

func drop(t testing.TB, cfg Config) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Timeout = schemaTimeout
	session, err := connect(context.WithoutCancel(t.Context()), cfg, "")
	if err != nil {
		t.Error(err)
		return
	}
	defer session.Close()
	if err := session.Query("DROP KEYSPACE IF EXISTS " + cfg.Keyspace).Exec(); err != nil {
		t.Error(err)
	}
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// opened opens a journal that the test's end closes.
func opened(t testing.TB, cfg Config) *Journal {
	t.Helper()
	j, err := Open(within(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() }) // closed by the test already, or not
	return j
}

func TestJournalKeepsTheContract(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Config){
		"buckets of the usual size": func(*Config) {},
		"a border at every record":  func(c *Config) { c.BucketBytes = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			journaltest.Suite{
				Open: func(t *testing.T) journal.Journal {
					cfg := fresh(t)
					change(&cfg)
					return opened(t, cfg)
				},
				Reopen: func(t *testing.T, j journal.Journal) journal.Journal {
					_ = j.Close()
					return opened(t, j.(*Journal).cfg)
				},
				// The second owner has the usual limits.
				Second: func(t *testing.T, j journal.Journal) journal.Journal {
					cfg := j.(*Journal).cfg
					cfg.BucketBytes = 0
					return opened(t, cfg)
				},
			}.Run(t)
		})
	}
}
