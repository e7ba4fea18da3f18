package cassandra

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/cassandra/launch"
	"github.com/skerryhq/skerry/journal/journaltest"
)

// node is one Cassandra node for all tests that do nothing to it, and nodeV1 one that
// agrees with the older variant of Paxos.
var (
	node   launch.Shared
	nodeV1 = launch.Shared{Config: launch.Config{PaxosVariant: "v1"}}
)

func TestMain(m *testing.M) {
	code := m.Run()
	node.Stop()
	nodeV1.Stop()
	// The driver lets what it does about a node's events end by itself.
	nodes := goleak.IgnoreAnyFunction("github.com/gocql/gocql.(*Session).handleNodeEvent")
	schema := goleak.IgnoreAnyFunction("github.com/gocql/gocql.(*Session).handleSchemaEvent") // it waits a minute for nodes that are gone
	if err := leaks(nodes, schema); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// leaks returns which goroutines stay. Those of the driver that still look for a node that is gone, or sleep, get a minute to end.
func leaks(ignored ...goleak.Option) error {
	for end := time.Now().Add(time.Minute); ; {
		if err := goleak.Find(ignored...); err == nil || time.Now().After(end) {
			return err
		}
	}
}

var keyspaces atomic.Int64

// newKeyspace names a keyspace that no test had before, of any process.
func newKeyspace() string {
	return fmt.Sprintf("t%d_%d", time.Now().UnixNano(), keyspaces.Add(1))
}

// fresh is a config for an empty journal on the shared node, gone at the test's
// end: a node of a small heap does not bear hundreds of tables.
func fresh(t testing.TB) Config {
	t.Helper()
	return freshOn(t, node.Hosts(t))
}

// freshV1 is the same on the node of the older Paxos.
func freshV1(t testing.TB) Config {
	t.Helper()
	return freshOn(t, nodeV1.Cluster(t).Hosts())
}

// onEachPaxos runs a test with a fresh journal on each of both nodes.
func onEachPaxos(t *testing.T, test func(t *testing.T, cfg Config)) {
	t.Parallel()
	for variant, fresh := range map[string]func(testing.TB) Config{"v1": freshV1, "v2": fresh} {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			test(t, fresh(t))
		})
	}
}

// lateAnswer is the timeout of tests that are not about timeouts: a node that has to share a small machine with all these tests
// may be silent for seconds.
const lateAnswer = time.Minute

func freshOn(t testing.TB, hosts []string) Config {
	cfg := Config{Hosts: hosts, Keyspace: newKeyspace(), Development: true, Timeout: lateAnswer}
	t.Cleanup(func() { drop(t, cfg) })
	return cfg
}

func drop(t testing.TB, cfg Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Minute)
	defer cancel()
	if err := DropKeyspace(ctx, cfg); err != nil {
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

// execute sends a statement of the test's own, which may be repeated, until it is answered.
func execute(t testing.TB, j *Journal, statement string, values ...any) {
	t.Helper()
	err := patiently(within(t), func(ctx context.Context) error { return j.session.Query(statement, values...).WithContext(ctx).Exec() })
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// swapped sends a swap until it is answered: that again has no second effect.
func swapped(t testing.TB, j *Journal, space journal.Space, partition string, next journal.Register) (now journal.Register, err error) {
	t.Helper()
	err = patiently(within(t), func(ctx context.Context) (err error) {
		now, err = j.Swap(ctx, space, partition, next)
		return err
	})
	return now, err
}

// readAll reads a log to its end, however often a busy database has to be asked for it.
func readAll(t testing.TB, j journal.Journal, shard uint32) (records []journal.Record, err error) {
	t.Helper()
	err = patiently(within(t), func(ctx context.Context) (err error) {
		records, err = journaltest.ReadAll(ctx, j, shard)
		return err
	})
	return records, err
}

// elsewhere are the parts of the contract that neither borders nor Paxos have a part in: they run once. Each part
// makes a keyspace, which takes Cassandra a second.
var elsewhere = regexp.MustCompile(`/(snapshots|two_snapshots|pages_|timers|disarmed|names|witnesses|nodes|the_next_process|a_visitor)|closed|out_of_bounds|byte_by_byte`)

// once skips what was tested with the usual size.
func once(t testing.TB) {
	t.Helper()
	if elsewhere.MatchString(t.Name()) {
		t.Skip("tested with buckets of the usual size")
	}
}

func bordered(t testing.TB) Config {
	t.Helper()
	once(t)
	cfg := freshV1(t)
	cfg.BucketBytes = 1
	return cfg
}

func TestJournalKeepsTheContract(t *testing.T) {
	t.Parallel()
	for name, fresh := range map[string]func(testing.TB) Config{
		"buckets of the usual size":           fresh,
		"a border at every record (Paxos v1)": bordered,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			journaltest.Suite{
				Open: func(t *testing.T) journal.Journal {
					return opened(t, fresh(t))
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
