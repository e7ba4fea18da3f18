package readside

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/skerryhq/skerry/entity"
)

// This file holds what depends on the database. All statements are written for SQLite
// and PostgreSQL alike: $1 for parameters, BIGINT and TEXT for columns, times in Unix milliseconds.

// tables are made in the user's database if they are missing.
var tables = []string{
	`CREATE TABLE IF NOT EXISTS skerry_progress (
		processor TEXT NOT NULL, shard BIGINT NOT NULL, history TEXT NOT NULL,
		record BIGINT NOT NULL, "offset" BIGINT NOT NULL, epoch BIGINT NOT NULL, batch TEXT NOT NULL,
		turn BIGINT NOT NULL, updated BIGINT NOT NULL,
		PRIMARY KEY (processor, shard))`,
	`CREATE TABLE IF NOT EXISTS skerry_parked (
		processor TEXT NOT NULL, shard BIGINT NOT NULL, "offset" BIGINT NOT NULL, record BIGINT NOT NULL,
		entity_type TEXT NOT NULL, entity_id TEXT NOT NULL,
		error TEXT NOT NULL, attempts BIGINT NOT NULL, since BIGINT NOT NULL,
		PRIMARY KEY (processor, shard, "offset"))`,
	`CREATE INDEX IF NOT EXISTS skerry_parked_entity ON skerry_parked (processor, entity_type, entity_id, "offset")`,
	`CREATE TABLE IF NOT EXISTS skerry_paused (processor TEXT NOT NULL PRIMARY KEY, since BIGINT NOT NULL)`,
}

// shapes fail if a table is missing, or another release made it in another shape.
var shapes = []string{
	`SELECT processor, shard, history, record, "offset", epoch, batch, turn, updated FROM skerry_progress WHERE 1 = 0`,
	`SELECT processor, shard, "offset", record, entity_type, entity_id, error, attempts, since FROM skerry_parked WHERE 1 = 0`,
	`SELECT processor, since FROM skerry_paused WHERE 1 = 0`,
}

// createAttempts bounds how often tables are made: PostgreSQL fails all but one of those that make a table at once,
// whatever IF NOT EXISTS says.
const createAttempts = 10

// createTables makes what is missing. Where nothing is, it needs no right to make any.
func createTables(ctx context.Context, db *sql.DB) error {
	missing := execAll(ctx, db, shapes)
	var failed error
	for n := 0; missing != nil && n < createAttempts && ctx.Err() == nil; n++ {
		failed = createTogether(ctx, db)
		missing = execAll(ctx, db, shapes)
	}
	if missing != nil {
		return fmt.Errorf("the tables skerry_progress, skerry_parked and skerry_paused (another release may have made them in another shape): %w", cmp.Or(failed, missing))
	}
	return nil
}

// createTogether makes all tables or none.
func createTogether(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := execAll(ctx, tx, tables); err != nil {
		return err
	}
	return tx.Commit()
}

// execer is a database or a transaction.
type execer interface {
	ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
}

func execAll(ctx context.Context, on execer, texts []string) error {
	for _, text := range texts {
		if _, err := on.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// isUnavailable tells that an error is no verdict on an event: the database or something else
// that a handler needs is away, locked, full or overrun, and the same may succeed later.
func isUnavailable(err error) bool {
	var network net.Error
	var state interface{ SQLState() string }
	var code interface{ Code() int }
	var says interface{ Unavailable() bool }
	switch {
	case errors.Is(err, entity.ErrUnavailable):
		return true
	case errors.As(err, &says):
		return says.Unavailable() // errors of a breaker, and of any client that knows
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return false // a net.Error, but of a context that the handler made; the runner looks at its own first
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return true
	case errors.As(err, &network):
		return true
	case errors.As(err, &state):
		return postgresAway(state.SQLState())
	case errors.As(err, &code):
		return sqliteAway(code.Code() & 0xff)
	}
	return false
}

// postgresAway knows the SQLSTATE classes connection, resources, operator intervention and system, lost races
// between transactions (serialization failures and deadlocks), and states of their own: a lock that was not got
// in time, a server that takes no writes now (25006: it became a standby), a transaction that stood idle for too long (25P03).
// A statement that ran too long (57014) is not among them: it would do so again.
func postgresAway(state string) bool {
	if state == "57014" {
		return false
	}
	for _, class := range []string{"08", "53", "57", "58", "40", lockNotAvailable, "25006", "25P03"} {
		if strings.HasPrefix(state, class) {
			return true
		}
	}
	return false
}

// lockNotAvailable is PostgreSQL's state of a statement that waited for a lock longer than lock_timeout.
const lockNotAvailable = "55P03"

// isLocked tells that another transaction holds what a statement wanted.
func isLocked(err error) bool {
	var state interface{ SQLState() string }
	return errors.As(err, &state) && state.SQLState() == lockNotAvailable
}

// sqliteAway knows SQLite's primary result codes. An interrupted statement (9) is not among them: a
// handler's own deadline did that.
func sqliteAway(code int) bool {
	const (
		busy, locked, noMemory, readOnly, inputOutput = 5, 6, 7, 8, 10
		full, cannotOpen, protocol                    = 13, 14, 15
	)
	switch code {
	case busy, locked, noMemory, readOnly, inputOutput, full, cannotOpen, protocol, sqliteCorrupt, sqliteNotADatabase:
		return true
	}
	return false
}

// What SQLite says of a file that is damaged.
const sqliteCorrupt, sqliteNotADatabase = 11, 26

// isDamaged tells that a database cannot be mended by waiting.
func isDamaged(err error) bool {
	var code interface{ Code() int }
	if !errors.As(err, &code) {
		return false
	}
	primary := code.Code() & 0xff
	return primary == sqliteCorrupt || primary == sqliteNotADatabase
}
