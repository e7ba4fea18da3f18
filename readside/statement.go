package readside

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// Statement is a SQL text that a processor's database prepares once instead of once per
// event. It may be used by any processor, concurrently.
type Statement struct{ text string }

// Prepare names a statement. Nothing is sent to a database before its first use, so
// that it may be a package's variable.
func Prepare(text string) *Statement { return &Statement{text} }

// Exec runs the statement within tx, the transaction that a handler was given together with
// ctx. With any other, as in a test, it is tx.ExecContext.
func (s *Statement) Exec(ctx context.Context, tx *sql.Tx, args ...any) (sql.Result, error) {
	if bound := boundIn(ctx, tx, s); bound != nil {
		return bound.ExecContext(ctx, args...)
	}
	return tx.ExecContext(ctx, s.text, args...)
}

// Query is like Exec, for statements that return rows.
func (s *Statement) Query(ctx context.Context, tx *sql.Tx, args ...any) (*sql.Rows, error) {
	if bound := boundIn(ctx, tx, s); bound != nil {
		return bound.QueryContext(ctx, args...)
	}
	return tx.QueryContext(ctx, s.text, args...)
}

// QueryRow is like Query, for at most one row.
func (s *Statement) QueryRow(ctx context.Context, tx *sql.Tx, args ...any) *sql.Row {
	if bound := boundIn(ctx, tx, s); bound != nil {
		return bound.QueryRowContext(ctx, args...)
	}
	return tx.QueryRowContext(ctx, s.text, args...)
}

// statements are those that one processor has used.
type statements struct {
	db *sql.DB

	mu       sync.Mutex // handlers may start goroutines
	prepared map[*Statement]*sql.Stmt
	wanted   []*Statement // met, but not prepared yet
	tx       *sql.Tx      // the open transaction
	bound    map[*Statement]*sql.Stmt
}

// maxStatements bounds what one processor prepares; others are sent as text.
const maxStatements = 256

func newStatements(db *sql.DB) *statements {
	return &statements{db: db, prepared: map[*Statement]*sql.Stmt{}, bound: map[*Statement]*sql.Stmt{}}
}

// prepare prepares what was met in earlier transactions. It must not run within one: there
// may be one connection only. A text that cannot be prepared fails where it is used.
func (s *statements) prepare(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.wanted {
		if stmt, err := s.db.PrepareContext(ctx, w.text); err == nil {
			s.prepared[w] = stmt
		}
	}
	s.wanted = s.wanted[:0]
}

// begin tells which transaction is open.
func (s *statements) begin(tx *sql.Tx) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tx = tx
	clear(s.bound)
}

// bind returns a statement as part of tx; nil if it is not prepared or another transaction is open.
func (s *statements) bind(ctx context.Context, tx *sql.Tx, of *Statement) *sql.Stmt {
	s.mu.Lock()
	defer s.mu.Unlock()
	if tx != s.tx {
		return nil
	}
	if b := s.bound[of]; b != nil {
		return b
	}
	p := s.prepared[of]
	if p == nil {
		s.want(of)
		return nil
	}
	b := tx.StmtContext(ctx, p)
	s.bound[of] = b
	return b
}

func (s *statements) want(of *Statement) {
	if len(s.prepared)+len(s.wanted) >= maxStatements {
		return
	}
	for _, w := range s.wanted {
		if w == of {
			return
		}
	}
	s.wanted = append(s.wanted, of)
}

func (s *statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, p := range s.prepared {
		errs = append(errs, p.Close())
	}
	clear(s.prepared)
	return errors.Join(errs...)
}

// handlerContext carries the statements of a processor to its handlers.
type handlerContext struct {
	context.Context //nolint:containedctx // it is a context
	statements      *statements
}

type statementsKey struct{}

// Value implements context.Context.
func (c handlerContext) Value(key any) any {
	if key == (statementsKey{}) {
		return c.statements
	}
	return c.Context.Value(key)
}

func boundIn(ctx context.Context, tx *sql.Tx, s *Statement) *sql.Stmt {
	if of, ok := ctx.Value(statementsKey{}).(*statements); ok {
		return of.bind(ctx, tx, s)
	}
	return nil
}
