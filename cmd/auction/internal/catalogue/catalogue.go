package catalogue

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/readside"
)

// Name is the processor's. Its progress is stored under it.
const Name = "catalogue"

// Catalogue is the read model. It may be used concurrently.
type Catalogue struct {
	write, read *sql.DB
	history     string
	statements  statements
}

// New returns the read model over tables that [Steps] have made. Rows are written through
// write and read through read, which may be the same; both stay the caller's to close. history is
// that of the journal: an answer before the first event has a token too.
func New(write, read *sql.DB, history string) *Catalogue {
	return &Catalogue{write: write, read: read, history: history, statements: statements{db: read}}
}

// Processor returns what keeps the tables up to date.
func (c *Catalogue) Processor() readside.Processor {
	return readside.SQL(Name, c.write, rules()...)
}

// Close frees the prepared statements, not the databases.
func (c *Catalogue) Close() error { return c.statements.close() }

// query is one SELECT with its parameters.
type query struct {
	text string
	args []any
}

// arg adds a parameter and returns its place in the text.
func (q *query) arg(value any) string {
	q.args = append(q.args, value)
	return fmt.Sprint("$", len(q.args))
}

// view is one moment of the tables: all that is read through it is of that moment.
type view struct {
	tx       *sql.Tx
	prepared map[string]*sql.Stmt
}

// at opens a view for some queries, lets read use it, and returns the token that tells
// which events it held.
func (c *Catalogue) at(ctx context.Context, queries []query, read func(v view) error) (journal.Token, error) {
	v := view{prepared: map[string]*sql.Stmt{}}
	var err error
	for _, q := range queries {
		if v.prepared[q.text], err = c.statements.of(ctx, q.text); err != nil {
			return journal.Token{}, err
		}
	}
	// SQLite's transactions are snapshots anyway; PostgreSQL has to be asked.
	v.tx, err = c.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return journal.Token{}, err
	}
	defer func() { _ = v.tx.Rollback() }() // there is nothing to commit
	token, err := readside.ReadPosition(ctx, v.tx, Name)
	if err != nil {
		return journal.Token{}, err
	}
	if token.History == "" { // nothing has been handled yet
		token.History = c.history
	}
	return token, read(v)
}

// row returns the only row of a query.
func (v view) row(ctx context.Context, q query) *sql.Row {
	return v.tx.StmtContext(ctx, v.prepared[q.text]).QueryRowContext(ctx, q.args...)
}

// each calls visit for each row of a query.
func (v view) each(ctx context.Context, q query, visit func(*sql.Rows) error) error {
	rows, err := v.tx.StmtContext(ctx, v.prepared[q.text]).QueryContext(ctx, q.args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := visit(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
