package readside

import (
	"context"
	"database/sql"
	"errors"
)

// This file keeps a transaction whole while handlers run in it: what one of them does to it must
// not commit, double or lose the events of others.

// guardedConn is what the connections of a driver offer if the database can refuse to commit,
// as those of sqlite.Open do. It costs nothing per statement.
type guardedConn interface {
	// Guard lets nothing be committed, whoever asks: a commit becomes a rollback.
	Guard()
	// Whole tells that nothing was rolled back since Guard.
	Whole() bool
	// Unguard ends it.
	Unguard()
}

// watchedConn is what the connections of a driver offer if the database cannot refuse to commit but tells at no
// cost whether the transaction goes on, as those of postgres.Open do.
type watchedConn interface {
	// Watch begins, within a transaction.
	Watch(ctx context.Context) error
	// Whole tells that this very transaction goes on and can commit.
	Whole() bool
}

// errEnded is wrapped when a handler returned no error and its transaction was over.
var errEnded = errors.New("the transaction was over when the handler returned: it swallowed an error after which the database rolled back, or it called Commit or Rollback; return each error, and leave the transaction to the runner")

// transaction is one in which handlers run.
type transaction struct {
	*sql.Tx
	conn    *sql.Conn
	guards  bool // its connection is a guardedConn
	watches bool // its connection is a watchedConn
}

// begin opens a transaction for handlers.
func (s *store) begin(ctx context.Context) (*transaction, error) {
	s.statements.prepare(ctx)
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	s.statements.begin(tx)
	t := &transaction{Tx: tx, conn: conn}
	if err := t.guard(ctx); err != nil {
		_ = t.rollback()
		return nil, err
	}
	return t, nil
}

func (t *transaction) guard(ctx context.Context) error {
	return t.conn.Raw(func(c any) error {
		switch of := c.(type) {
		case guardedConn:
			t.guards = true
			of.Guard()
		case watchedConn:
			t.watches = true
			return of.Watch(ctx)
		}
		return nil
	})
}

// Of a database that neither refuses to commit nor tells, each handler has a savepoint: to release it
// fails if its transaction is over or was aborted.
const (
	setSavepoint     = `SAVEPOINT skerry_handler`
	releaseSavepoint = `RELEASE SAVEPOINT skerry_handler`
)

// enter prepares for one handler.
func (t *transaction) enter(ctx context.Context) error {
	if t.guards || t.watches {
		return nil
	}
	_, err := t.ExecContext(ctx, setSavepoint)
	return err
}

// leave tells whether the transaction outlived a handler that returned no error. It must be asked
// before anything else runs: SQLite takes statements after a rollback, and commits each alone.
func (t *transaction) leave(ctx context.Context) error {
	if t.guards || t.watches {
		return t.whole()
	}
	_, err := t.ExecContext(ctx, releaseSavepoint)
	if err == nil || isUnavailable(err) {
		return err
	}
	return errors.Join(errEnded, err)
}

func (t *transaction) whole() error {
	return t.conn.Raw(func(c any) error {
		if !c.(interface{ Whole() bool }).Whole() {
			return errEnded
		}
		return nil
	})
}

// unguard lets the connection commit again.
func (t *transaction) unguard() error {
	if !t.guards {
		return nil
	}
	return t.conn.Raw(func(c any) error {
		c.(guardedConn).Unguard()
		return nil
	})
}

// commit commits, and gives the connection back.
func (t *transaction) commit() error {
	if t.guards {
		if err := errors.Join(t.whole(), t.unguard()); err != nil {
			_ = t.rollback()
			return err
		}
	}
	defer func() { _ = t.conn.Close() }()
	return t.Tx.Commit()
}

// rollback gives all up. The error is sql.ErrTxDone if a handler had ended the transaction. Any
// other does not matter: a connection that cannot roll back is closed by database/sql.
func (t *transaction) rollback() error {
	err := t.Tx.Rollback()
	_ = t.unguard() // a connection that is lost commits nothing
	_ = t.conn.Close()
	return err
}

// mayBeCommitted tells that a handler ended a transaction that could not refuse it, given why it is
// given up and what rollback returned.
func (t *transaction) mayBeCommitted(why, rolledBack error) bool {
	return !t.guards && (errors.Is(why, errEnded) || errors.Is(rolledBack, sql.ErrTxDone))
}
