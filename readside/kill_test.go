package readside_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/pebble"
	"github.com/skerryhq/skerry/readside"
	"github.com/skerryhq/skerry/readside/postgres"
	"github.com/skerryhq/skerry/readside/sqlite"
)

// How the child of the kill test is told what to do.
const (
	childDir   = "SKERRY_KILL_DIR"
	childPoint = "SKERRY_KILL_POINT" // the process ends itself there; 0 lets it live
	childRun   = "SKERRY_KILL_RUN"
	childURL   = "SKERRY_KILL_POSTGRES" // of the read model, which is a file if it is empty
)

const (
	killTime   = 10 * time.Second // how long the parent goes on killing
	leastKills = 10               // and how often it kills, however long that takes
	killShards = 4
	killCalls  = 40 // commands that a child sends, by four callers
)

// TestRowsAndOffsetsAgreeWhenTheProcessIsKilledAtAnyStatement runs a host on Pebble and a
// processor on a real SQLite file, or PostgreSQL, in a process of its own, which ends itself with SIGKILL before or
// after the n-th thing that the processor sends to the database. After each kill the rows must
// be the fold of the log exactly up to the stored position.
func TestRowsAndOffsetsAgreeWhenTheProcessIsKilledAtAnyStatement(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		killAtAnyStatement(t, "")
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		killAtAnyStatement(t, server.URL(t))
	})
}

func killAtAnyStatement(t *testing.T, url string) {
	dir, began, kills := t.TempDir(), time.Now(), 0
	points := 240
	if testing.Short() {
		points = 12
	}
	for n := 1; n <= points && (kills < leastKills || time.Since(began) < killTime); n++ {
		// Points near each other at first, then farther apart.
		if runChild(t, dir, url, n+n*n/40, n) {
			kills++
		}
		if !rowsAreTheFold(t, dir, url, false) {
			t.Fatalf("after kill point %d", n)
		}
	}
	if runChild(t, dir, url, 0, points+1) {
		t.Fatal("the last run was killed")
	}
	rowsAreTheFold(t, dir, url, true)
	if kills < leastKills {
		t.Errorf("only %d runs were killed", kills)
	}
	t.Logf("%d kills in %v", kills, time.Since(began).Round(time.Millisecond))
}

// runChild returns whether the child was killed.
func runChild(t *testing.T, dir, url string, point, run int) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Env = append(os.Environ(), childDir+"="+dir, childURL+"="+url, childPoint+"="+strconv.Itoa(point), childRun+"="+strconv.Itoa(run))
	err := cmd.Run()
	var ended *exec.ExitError
	switch {
	case err == nil:
		return false
	case errors.As(err, &ended) && ended.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		return true
	}
	t.Fatalf("the child failed: %v\n%s", err, &output)
	return false
}

// childOfKillTest runs the child if this process is one.
func childOfKillTest() bool {
	dir := os.Getenv(childDir)
	if dir == "" {
		return false
	}
	if err := liveAndDie(dir); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	return true
}

// liveAndDie is a service: a host, a read model, and callers.
func liveAndDie(dir string) error {
	point, _ := strconv.ParseInt(os.Getenv(childPoint), 10, 64)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	j, err := pebble.Open(pebble.Config{Dir: filepath.Join(dir, "journal"), MinFree: -1})
	if err != nil {
		return err
	}
	host, err := entity.Start(ctx, entity.Config{Journal: j, Types: []entity.Definition{accounts}, Shards: killShards, Logger: quiet()})
	if err != nil {
		return err
	}
	model, err := openModel(ctx, dir, os.Getenv(childURL))
	if err != nil {
		return err
	}
	var sent atomic.Int64
	db := wrapFaulty(model, "FULL", func(string, bool) error {
		if sent.Add(1) == point {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			<-make(chan struct{}) // the signal may take a moment; nothing more is sent
		}
		return nil
	})
	r, err := readside.Start(ctx, readside.Config{
		Source: host.Feed(), Logger: quiet(), MaxEvents: 8,
		Processors: []readside.Processor{readside.SQL("history", db, readside.On(addUp), readside.On(noteNothing)), readside.SQL("rows", db, readside.On(addRow))},
	})
	if err != nil {
		return err
	}
	if err := call(ctx, host, r); err != nil {
		return err
	}
	return errors.Join(r.Stop(ctx), db.Close(), model.Close(), host.Stop(ctx), j.Close())
}

// closable is a read model's database.
type closable interface {
	rows
	Close() error
}

// openModel opens the read model of a child, or of its parent.
func openModel(ctx context.Context, dir, url string) (closable, error) {
	if url != "" {
		db, err := postgres.Open(ctx, postgres.Config{URL: url, Steps: []string{schema(false)}})
		return &database{db, url}, err
	}
	db, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, "rows.db"), Steps: []string{schema(true)}})
	return &file{db}, err
}

func noteNothing(context.Context, *sql.Tx, readside.Event[*wrapperspb.StringValue]) error { return nil }

var insertRow = readside.Prepare(`INSERT INTO history (account, version, cents) VALUES ($1, $2, $3)`)

func addRow(ctx context.Context, tx *sql.Tx, ev readside.Event[*wrapperspb.Int64Value]) error {
	_, err := insertRow.Exec(ctx, tx, ev.EntityID, int64(ev.Version), ev.Msg.GetValue())
	return err
}

// call pays into accounts and waits until the read model shows it.
func call(ctx context.Context, host *entity.Host, r *readside.Runner) error {
	var callers sync.WaitGroup
	errs := make([]error, 4)
	for n := range errs {
		callers.Go(func() {
			for i := range killCalls / len(errs) {
				var got entity.Receipt
				key := fmt.Sprint(os.Getenv(childRun), "-", n, "-", i)
				_, err := pay.Ask(ctx, accounts.Ref(host, accountID((n*7+i)%modelAccounts)), payment(int64(n*100+i)), entity.Key(key), entity.Receive(&got))
				errs[n] = errors.Join(errs[n], err, r.WaitFor(ctx, "history", got.Token))
			}
		})
	}
	callers.Wait()
	return errors.Join(errors.Join(errs...), r.WaitFor(ctx, "rows", r.Position("history")))
}

// rowsAreTheFold compares the file with the log.
func rowsAreTheFold(t *testing.T, dir, url string, caughtUp bool) bool {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "rows.db")); url == "" && errors.Is(err, os.ErrNotExist) {
		return true // it was killed before that
	}
	j, err := pebble.Open(pebble.Config{Dir: filepath.Join(dir, "journal"), MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}()
	model, err := openModel(t.Context(), dir, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = model.Close() }()
	for processor, query := range map[string]string{
		"history": `SELECT account, events, cents FROM balances`,
		"rows":    `SELECT account, COUNT(*), SUM(cents) FROM history GROUP BY account`,
	} {
		at, got := readRows(t, model, url == "", processor, query)
		want, end := fold(t, j, at)
		if !maps.Equal(got, want) {
			t.Errorf("processor %s stands at %s: the rows are\n%v, the fold of the log is\n%v", processor, at, got, want)
		}
		if caughtUp && at.String() != end.String() {
			t.Errorf("processor %s stands at %s, the log ends at %s", processor, at, end)
		}
	}
	return !t.Failed()
}

// balance is a row: how many events and their sum.
type balance struct{ events, cents int64 }

// readRows reads rows and position in one transaction; none if the tables are not made yet.
func readRows(t *testing.T, model rows, lite bool, processor, query string) (journal.Token, map[string]balance) {
	t.Helper()
	got := map[string]balance{}
	tx, err := model.Read().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	var tables int
	catalogue := `SELECT COUNT(*) FROM pg_tables WHERE tablename = 'skerry_progress' AND schemaname = current_schema()`
	if lite {
		catalogue = `SELECT COUNT(*) FROM sqlite_schema WHERE name = 'skerry_progress'`
	}
	if err := tx.QueryRowContext(t.Context(), catalogue).Scan(&tables); err != nil {
		t.Fatal(err)
	}
	if tables == 0 {
		return journal.Token{}, got
	}
	at, err := readside.ReadPosition(t.Context(), tx, processor)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := tx.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id string
		var b balance
		if err := rows.Scan(&id, &b.events, &b.cents); err != nil {
			t.Fatal(err)
		}
		got[id] = b
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return at, got
}

// fold adds up the log as far as a token goes, and returns its end.
func fold(t *testing.T, log journal.Log, at journal.Token) (map[string]balance, journal.Token) {
	t.Helper()
	want, end := map[string]balance{}, journal.Token{History: at.History}
	for shard := range uint32(killShards) {
		var reader entity.StoredReader
		for from := uint64(1); ; {
			page, err := log.Read(t.Context(), shard, from, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, rec := range page {
				offset := rec.FirstOffset
				err := reader.Each(rec, func(s *entity.Stored) error {
					for _, e := range s.Events {
						msg, err := accounts.Decode(e.Type, e.Payload)
						if err == nil && offset <= at.Offset(shard) {
							b := want[s.ID]
							want[s.ID] = balance{b.events + 1, b.cents + msg.(*wrapperspb.Int64Value).GetValue()}
						}
						end = end.With(shard, offset)
						offset++
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				from = rec.Number + 1
			}
		}
	}
	return want, end
}
