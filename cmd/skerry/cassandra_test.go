package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/cassandra"
	"github.com/skerryhq/skerry/journal/cassandra/launch"
	"github.com/skerryhq/skerry/journal/pebble"
)

// The verbs of journals, on a real Cassandra. Each script names keyspaces of its own.
func TestScriptsOnCassandra(t *testing.T) {
	if testing.Short() {
		t.Skip("a Cassandra node takes ten seconds")
	}
	var node launch.Shared
	t.Cleanup(node.Stop)
	runOnCassandra(t, "testdata/cassandra", node.Hosts(t)[0])
}

func TestScriptsOnCassandraWithAPassword(t *testing.T) {
	if testing.Short() {
		t.Skip("a Cassandra node takes ten seconds")
	}
	runOnCassandra(t, "testdata/password", launch.ForTest(t, launch.Config{Password: true}).Hosts()[0])
}

func runOnCassandra(t *testing.T, dir, host string) {
	t.Helper()
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOST", host)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"journal": makeJournal, "json": checkJSON, "long": makeLong, "keyspace": nameKeyspace, "same": sameLogs, "flip": flipBit,
			"kill-export": killExport, "kill-import": killImport, "lose-pages": losePages,
		},
	})
}

var keyspaces atomic.Int64

// nameKeyspace is the script command "keyspace NAME": $NAME is from now on the URL of a keyspace that nobody
// else uses, for development, and $STRICT_NAME the one without that word. It is gone at the script's end.
func nameKeyspace(ts *testscript.TestScript, _ bool, args []string) {
	url := fmt.Sprintf("cassandra://%s/script%d_%d", ts.Getenv("HOST"), time.Now().UnixNano(), keyspaces.Add(1))
	ts.Setenv(args[0], url+"?dev=1")
	ts.Setenv("STRICT_"+args[0], url)
	ts.Defer(func() {
		cfg, err := cassandra.ParseURL(url, ts.Getenv) // with the login that the script ended with
		ts.Check(err)
		ts.Check(cassandra.DropKeyspace(context.Background(), cfg))
	})
}

// longShards is into how many logs a long journal is divided: more than what is under way when a verb is killed.
const longShards = 16

// makeLong is the script command "long DIR": a service ran there whose logs have dozens of records.
func makeLong(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	j, err := pebble.Open(pebble.Config{Dir: ts.MkAbs(args[0]), MinFree: -1})
	ts.Check(err)
	host, err := entity.Start(ctx, entity.Config{Journal: j, Types: []entity.Definition{accounts}, Shards: longShards, Logger: slog.New(slog.DiscardHandler)})
	ts.Check(err)
	var callers sync.WaitGroup
	var failed atomic.Pointer[error]
	for caller := range 4 * longShards {
		callers.Go(func() {
			for i := range 20 {
				if _, err := pay.Ask(ctx, accounts.Ref(host, fmt.Sprint("of ", caller)), wrapperspb.Int64(int64(i))); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	callers.Wait()
	ts.Check(errors.Join(host.Stop(ctx), j.Close()))
	if err := failed.Load(); err != nil {
		ts.Check(*err)
	}
}

func openForScript(ts *testscript.TestScript, where string) journal.Journal {
	if !isCassandra(where) {
		where = ts.MkAbs(where)
	}
	j, err := openJournal(context.Background(), where, terminal{os.Stdout, os.Stderr, ts.Getenv})
	ts.Check(err)
	return j
}

// bodies is all records of a journal.
func bodies(ts *testscript.TestScript, where string) (all [][]byte) {
	j := openForScript(ts, where)
	defer func() { ts.Check(j.Close()) }()
	for shard := range uint32(longShards) {
		for next := uint64(1); ; {
			records, err := j.Read(context.Background(), shard, next, 1<<20)
			ts.Check(err)
			if len(records) == 0 {
				break
			}
			for _, rec := range records {
				all = append(all, bytes.Clone(rec.Body))
			}
			next += uint64(len(records))
		}
	}
	return all
}

// sameLogs is the script command "same WHERE WHERE": both journals hold the same records.
func sameLogs(ts *testscript.TestScript, neg bool, args []string) {
	a, b := bodies(ts, args[0]), bodies(ts, args[1])
	if len(a) == 0 || slices.EqualFunc(a, b, bytes.Equal) == neg {
		ts.Fatalf("%d and %d records, equal: %v", len(a), len(b), neg)
	}
}

// flipBit is the script command "flip FILE": one bit in its middle is another.
func flipBit(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	b, err := os.ReadFile(path)
	ts.Check(err)
	b[len(b)/2] ^= 1
	ts.Check(os.WriteFile(path, b, 0o600))
}

// killedWhen starts the program and ends it with SIGKILL as soon as the condition holds. It returns false if the program came to
// its good end before: nobody looked for that long.
func killedWhen(ts *testscript.TestScript, now func() bool, args ...string) bool {
	path, err := exec.LookPath("skerry")
	ts.Check(err)
	command := exec.Command(path, args...)
	command.Dir = ts.MkAbs(".")
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	ts.Check(command.Start())
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				ts.Fatalf("skerry %v was not killed, it ended: %v: %s", args, err, &said)
			}
			return false
		default:
		}
		if now() {
			_ = command.Process.Kill() // it may have ended
			return <-ended != nil      // it was killed
		}
		time.Sleep(100 * time.Microsecond) // another process is looked at
	}
}

// killTries is how often a verb may come to its end before we look.
const killTries = 100

// killExport is the script command "kill-export WHERE ARCHIVE": an export ends when some shards are written.
func killExport(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[1])
	some, whole := filepath.Join(dir, "shard-00002.records"), filepath.Join(dir, "manifest.json")
	for range killTries {
		if killedWhen(ts, func() bool { return isThere(some) }, "journal", "export", dir, "-journal", args[0]) && !isThere(whole) {
			return
		}
		ts.Check(os.RemoveAll(dir))
	}
	ts.Fatalf("%d exports were complete before they could be killed", killTries)
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// killImport is the script command "kill-import ARCHIVE URL": an import ends when some records are stored.
func killImport(ts *testscript.TestScript, _ bool, args []string) {
	cfg, err := cassandra.ParseURL(args[1], ts.Getenv)
	ts.Check(err)
	for range killTries {
		if importKilled(ts, ts.MkAbs(args[0]), args[1]) {
			return
		}
		ts.Check(cassandra.DropKeyspace(context.Background(), cfg))
	}
	ts.Fatalf("%d imports were complete before they could be killed", killTries)
}

// importKilled kills an import when it has come to a shard beyond the first that it began with. False: it was complete.
func importKilled(ts *testscript.TestScript, from, url string) bool {
	const atOnce = 4
	j := openForScript(ts, url)
	defer func() { ts.Check(j.Close()) }()
	ctx := context.Background()
	killed := killedWhen(ts, func() bool {
		head, err := j.Head(ctx, atOnce)
		return err == nil && head.Last.Number > 0 // else it is asked again
	}, "journal", "import", from, "-journal", url, "-parallel", fmt.Sprint(atOnce))
	archive, err := journal.Importing(ctx, j)
	ts.Check(err)
	return killed && archive != ""
}

// losePages is the script command "lose-pages FROM TO": the journal at TO has the logs of the other, which say that
// pages are complete, and no page.
func losePages(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	from, to := openForScript(ts, args[0]), openForScript(ts, args[1])
	for name, value := range map[string]string{"history": "h", "shards": "4"} {
		_, err := to.Settle(ctx, name, value)
		ts.Check(err)
	}
	for shard := range uint32(4) {
		records, err := from.Read(ctx, shard, 1, 1<<20)
		ts.Check(err)
		for _, rec := range records {
			_, err := to.Append(ctx, shard, rec)
			ts.Check(err)
		}
		h := records[len(records)-1].Header
		h.Number, h.Epoch, h.Claim, h.FirstOffset, h.Events, h.Flushed, h.Batch = h.Number+1, h.Epoch+1, true, h.NextOffset(), 0, h.Number, journal.NewBatch()
		_, err = to.Append(ctx, shard, journal.NewRecord(h, nil))
		ts.Check(err)
	}
	ts.Check(errors.Join(from.Close(), to.Close()))
}
