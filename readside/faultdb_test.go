package readside_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"net/url"
	"testing"
)

// faulty wraps a driver: hook is called before and after each thing that a processor sends. What
// it returns is what the processor gets instead, and the connection is lost with it.
type faulty struct {
	inner driver.Driver
	name  string
	hook  func(what string, done bool) error
}

// openFaulty opens a file again, through a driver that fails when hook says so.
func openFaulty(t testing.TB, of rows, synchronous string, hook func(what string, done bool) error) *sql.DB {
	t.Helper()
	db := wrapFaulty(of, synchronous, hook)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func wrapFaulty(of rows, synchronous string, hook func(what string, done bool) error) *sql.DB {
	name := ""
	if pg, ok := of.(*database); ok {
		name = pg.url
	} else {
		name = fileName(of.(*file).Path(), synchronous)
	}
	db := sql.OpenDB(&faulty{of.Write().Driver(), name, hook})
	db.SetMaxOpenConns(1)
	return db
}

func fileName(path, synchronous string) string {
	q := url.Values{"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(" + synchronous + ")"}, "_txlock": {"immediate"}}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

func (f *faulty) Driver() driver.Driver { return f.inner }

func (f *faulty) Connect(context.Context) (driver.Conn, error) {
	var inner driver.Conn
	err := f.around("connect", func() (err error) { inner, err = f.inner.Open(f.name); return err })
	if err != nil {
		if inner != nil {
			_ = inner.Close()
		}
		return nil, err
	}
	return &faultyConn{inner, f, false}, nil
}

func (f *faulty) around(what string, do func() error) error {
	if err := f.hook(what, false); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return f.hook(what, true)
}

type faultyConn struct {
	inner driver.Conn
	of    *faulty
	lost  bool
}

// do does one thing unless the connection is lost, and loses it when the hook says so.
func (c *faultyConn) do(what string, do func() error) error {
	if c.lost {
		return driver.ErrBadConn
	}
	err := c.of.around(what, do)
	if err == driver.ErrBadConn { //nolint:errorlint // it is never wrapped here
		c.lost = true
	}
	return err
}

func (c *faultyConn) IsValid() bool { return !c.lost }
func (c *faultyConn) Close() error  { return c.inner.Close() }

func (c *faultyConn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

func (c *faultyConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	var tx driver.Tx
	err := c.do("begin", func() (err error) { tx, err = c.inner.(driver.ConnBeginTx).BeginTx(ctx, o); return err })
	return &faultyTx{tx, c}, err
}

func (c *faultyConn) Prepare(text string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), text)
}

func (c *faultyConn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	var stmt driver.Stmt
	err := c.do("prepare", func() (err error) {
		stmt, err = c.inner.(driver.ConnPrepareContext).PrepareContext(ctx, text)
		return err
	})
	if err != nil {
		if stmt != nil {
			_ = stmt.Close()
		}
		return nil, err
	}
	return &faultyStmt{stmt, c}, nil
}

func (c *faultyConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (r driver.Result, err error) {
	err = c.do("exec", func() (err error) {
		r, err = c.inner.(driver.ExecerContext).ExecContext(ctx, text, args)
		return err
	})
	return r, err
}

func (c *faultyConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	if c.lost {
		return nil, driver.ErrBadConn
	}
	return c.inner.(driver.QueryerContext).QueryContext(ctx, text, args)
}

type faultyTx struct {
	inner driver.Tx
	conn  *faultyConn
}

func (t *faultyTx) Commit() error   { return t.conn.do("commit", t.inner.Commit) }
func (t *faultyTx) Rollback() error { return t.inner.Rollback() }

type faultyStmt struct {
	inner driver.Stmt
	conn  *faultyConn
}

func (s *faultyStmt) Close() error  { return s.inner.Close() }
func (s *faultyStmt) NumInput() int { return s.inner.NumInput() }

func (s *faultyStmt) Exec([]driver.Value) (driver.Result, error) { panic("not used") }
func (s *faultyStmt) Query([]driver.Value) (driver.Rows, error)  { panic("not used") }

func (s *faultyStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (r driver.Result, err error) {
	err = s.conn.do("exec", func() (err error) {
		r, err = s.inner.(driver.StmtExecContext).ExecContext(ctx, args)
		return err
	})
	return r, err
}

func (s *faultyStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if s.conn.lost {
		return nil, driver.ErrBadConn
	}
	return s.inner.(driver.StmtQueryContext).QueryContext(ctx, args)
}
