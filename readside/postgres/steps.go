package postgres

import (
	"context"
	"database/sql"
	"fmt"
)

// stepsLock is the advisory lock under which steps are taken: one process at a time, others wait for it.
const stepsLock = 0x736b65727279 // "skerry"

// beforeSteps lets a transaction wait for another process that takes long steps, and take long itself.
const beforeSteps = `SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0`

// takeSteps makes the tables as this release wants them: all steps that are missing, or none.
func takeSteps(ctx context.Context, db *sql.DB, cfg Config) error {
	if len(cfg.Steps) == 0 {
		return nil
	}
	if have, err := stepsTaken(ctx, db, cfg.Name); err == nil && have == len(cfg.Steps) {
		return nil // no right to make tables is needed then
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := takeMissing(ctx, tx, cfg); err != nil {
		return err
	}
	return tx.Commit()
}

func takeMissing(ctx context.Context, tx *sql.Tx, cfg Config) error {
	if _, err := tx.ExecContext(ctx, beforeSteps); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(stepsLock)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS skerry_steps (name TEXT PRIMARY KEY, taken BIGINT NOT NULL)`); err != nil {
		return err
	}
	have, err := stepsTaken(ctx, tx, cfg.Name)
	if err != nil {
		return err
	}
	if have > len(cfg.Steps) {
		return fmt.Errorf("%w: %q has taken %d steps, this program knows %d: run the newer program, or drop its tables to build them again from the log", ErrNewer, cfg.Name, have, len(cfg.Steps))
	}
	for n := have; n < len(cfg.Steps); n++ {
		if _, err := tx.ExecContext(ctx, cfg.Steps[n]); err != nil {
			return fmt.Errorf("step %d of %d (Config.Steps): %w", n+1, len(cfg.Steps), err)
		}
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO skerry_steps (name, taken) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET taken = excluded.taken`, cfg.Name, len(cfg.Steps))
	return err
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row
}

// stepsTaken counts the steps that a read model has taken.
func stepsTaken(ctx context.Context, on querier, name string) (taken int, err error) {
	err = on.QueryRowContext(ctx, `SELECT COALESCE(MAX(taken), 0) FROM skerry_steps WHERE name = $1`, name).Scan(&taken)
	return taken, err
}
