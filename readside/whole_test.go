package readside_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/readside"
	"github.com/skerryhq/skerry/readside/readsidetest"
)

// endless never ends by itself and writes.
const endless = `INSERT INTO history WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT 'x', i, 1 FROM n`

// swallowing are handlers that spoil the transaction and hide it. What follows in the
// handler must not become durable either, so each writes once more.
var swallowing = map[string]func(context.Context, *sql.Tx){
	"a statement past its own time": func(ctx context.Context, tx *sql.Tx) {
		for d := 100 * time.Millisecond; goesOn(ctx, tx); d *= 2 { // a time that is over before the statement begins spoils nothing
			own, cancel := context.WithTimeout(ctx, d)
			_, _ = tx.ExecContext(own, endless)
			cancel()
		}
	},
	"OR ROLLBACK": func(ctx context.Context, tx *sql.Tx) {
		_, _ = tx.ExecContext(ctx, `INSERT OR ROLLBACK INTO balances VALUES ('bad', 1, 1, 1)`)
	},
	"the text ROLLBACK":        func(ctx context.Context, tx *sql.Tx) { _, _ = tx.ExecContext(ctx, "ROLLBACK") },
	"the text COMMIT":          func(ctx context.Context, tx *sql.Tx) { _, _ = tx.ExecContext(ctx, "COMMIT") },
	"COMMIT and another BEGIN": func(ctx context.Context, tx *sql.Tx) { _, _ = tx.ExecContext(ctx, "COMMIT; BEGIN") },
	"ROLLBACK and a BEGIN":     func(ctx context.Context, tx *sql.Tx) { _, _ = tx.ExecContext(ctx, "ROLLBACK; BEGIN") },
	"Commit":                   func(_ context.Context, tx *sql.Tx) { _ = tx.Commit() },
	"Rollback":                 func(_ context.Context, tx *sql.Tx) { _ = tx.Rollback() },
}

// goesOn tells whether what was written before is still there.
func goesOn(ctx context.Context, tx *sql.Tx) bool {
	var n int
	err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM balances WHERE account = 'bad'`).Scan(&n)
	return err == nil && n > 0
}

// spoiling adds payments up; the account "bad" then spoils the transaction and says that all is well.
func spoiling(name string, db *sql.DB, spoil func(context.Context, *sql.Tx)) readside.Processor {
	return readside.SQL(name, db, readside.On(func(ctx context.Context, tx *sql.Tx, ev readside.Event[*wrapperspb.Int64Value]) error {
		if err := addUp(ctx, tx, ev); err != nil || ev.EntityID != "bad" {
			return err
		}
		spoil(ctx, tx)
		_, _ = tx.ExecContext(ctx, upsertText, "after", 1, 1)
		return nil
	}))
}

// oneBatch stores twenty payments, the eleventh of them to "bad".
func oneBatch(log *readsidetest.Log) {
	var commands []readsidetest.Command
	for i := range 20 {
		id := fmt.Sprint("good", i%3)
		if i == 10 {
			id = "bad"
		}
		commands = append(commands, readsidetest.Command{Type: "account", ID: id, Events: events(1)})
	}
	log.StoreAll(commands...)
}

// handled counts the events in the rows of all accounts but bad's.
func handled(t *testing.T, db rows) (good, others int) {
	t.Helper()
	err := db.Read().QueryRowContext(t.Context(), `SELECT COALESCE(SUM(events) FILTER (WHERE account LIKE 'good%'), 0),
		COALESCE(SUM(events) FILTER (WHERE account NOT LIKE 'good%'), 0) FROM balances`).Scan(&good, &others)
	if err != nil {
		t.Fatal(err)
	}
	return good, others
}

func TestAHandlerThatSpoilsItsTransactionHarmsNobodyElse(t *testing.T) {
	t.Parallel()
	for name, spoil := range swallowing {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, db := newLog(1), openFile(t)
			oneBatch(log)
			r := start(t, quick(log, spoiling("balances", db.Write(), spoil)))
			await(t, r, "balances", log.Token())
			good, others := handled(t, db)
			if good != 19 || others != 0 {
				t.Errorf("%d events of others are handled, %d of the bad one, want 19 and 0", good, others)
			}
			parked, err := r.Parked(t.Context(), "balances")
			if err != nil || len(parked.GetEntities()) != 1 || !strings.Contains(parked.GetEntities()[0].GetError(), "the transaction was over") {
				t.Errorf("parked is %v, %v", parked, err)
			}
			if err := r.Retry(within(t), "balances", "account", "bad"); err == nil {
				t.Error("a retry of what spoils its transaction succeeds")
			}
			if good, others := handled(t, db); good != 19 || others != 0 {
				t.Errorf("after a retry: %d and %d, want 19 and 0", good, others)
			}
			await(t, r, "balances", log.Store("account", "good0", payment(1)))
		})
	}
}

// unguarded are connections that cannot refuse a commit: those of postgres.Open, which tell, and of SQLite ones
// that do not even that.
func unguarded(t *testing.T, db rows) *sql.DB {
	if pg, ok := db.(*database); ok {
		return pg.Write()
	}
	return openFaulty(t, db, "OFF", func(string, bool) error { return nil })
}

// A connection of another driver cannot refuse a commit: the processor stops, and on the next start
// it goes on behind the command that was committed.
func TestADatabaseThatCannotRefuseACommitStopsTheProcessorAndLosesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		for _, name := range []string{"Commit", "the text COMMIT", "COMMIT and another BEGIN"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				log, db := newLog(1), open(t)
				oneBatch(log)
				plain := unguarded(t, db)
				r := start(t, quick(log, spoiling("balances", plain, swallowing[name])))
				until(t, "it halts", func() bool { return status(t, r, "balances").GetState() == "halted" })
				if reason := status(t, r, "balances").GetReason(); !strings.Contains(reason, "committed the runner's transaction") || !strings.Contains(reason, "the rule for google.protobuf.Int64Value") {
					t.Errorf("the reason is %q", reason)
				}
				stop(t, r)
				r = start(t, quick(log, readside.SQL("balances", plain, readside.On(addUp))))
				await(t, r, "balances", log.Token())
				if good, others := handled(t, db); good != 19 || others < 1 {
					t.Errorf("after the repair %d and %d events are handled, want 19 and at least 1", good, others)
				}
			})
		}
	})
}

func TestADatabaseThatCannotRefuseACommitNoticesARollback(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		for _, name := range []string{"a statement past its own time", "OR ROLLBACK", "the text ROLLBACK", "ROLLBACK and a BEGIN", "Rollback"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				log, db := newLog(1), open(t)
				oneBatch(log)
				plain := unguarded(t, db)
				r := start(t, quick(log, spoiling("balances", plain, swallowing[name])))
				await(t, r, "balances", log.Token())
				if good, _ := handled(t, db); good != 19 || status(t, r, "balances").GetParkedCommands() != 1 {
					t.Errorf("%d events of others are handled, want 19, and 1 parked", good)
				}
			})
		}
	})
}

func TestAHandlersOwnDeadlineParks(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db := newLog(1), open(t)
		r := start(t, quick(log, readside.SQL("balances", db.Write(), readside.On(func(ctx context.Context, tx *sql.Tx, ev readside.Event[*wrapperspb.Int64Value]) error {
			if ev.EntityID != "bad" {
				return addUp(ctx, tx, ev)
			}
			own, cancel := context.WithTimeout(ctx, time.Millisecond)
			defer cancel()
			<-own.Done()
			return own.Err()
		}))))
		oneBatch(log)
		await(t, r, "balances", log.Token())
		if good, _ := handled(t, db); good != 19 || status(t, r, "balances").GetParkedCommands() != 1 {
			t.Errorf("%d events of others are handled, %d parked, want 19 and 1", good, status(t, r, "balances").GetParkedCommands())
		}
	})
}
