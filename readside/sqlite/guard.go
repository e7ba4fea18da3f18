package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"

	"modernc.org/sqlite"
)

// This file lets a processor's runner keep its transaction whole. SQLite rolls a transaction back by
// itself after some errors (a statement that was interrupted, OR ROLLBACK, a full disk, an I/O error), and then
// commits each later statement alone. A handler that swallows such an error would make what follows durable
// although the runner tries all of it again. So while a connection is guarded it commits nothing.

// driverConn and session are what database/sql uses of a connection of modernc.org/sqlite, and the hooks.
type driverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
}

type session interface {
	driver.SessionResetter
	driver.Validator
	sqlite.HookRegisterer
}

// conn is a connection that can be guarded. database/sql lets one goroutine at a time use it, and
// the hooks run within its statements.
type conn struct {
	driverConn
	session
	guarded, broken bool
}

// Guard lets nothing be committed until Unguard, by whatever statement or call: SQLite makes a rollback of it.
func (c *conn) Guard() { c.guarded, c.broken = true, false }

// Whole tells that nothing was rolled back since Guard.
func (c *conn) Whole() bool { return !c.broken }

// Unguard lets the connection commit.
func (c *conn) Unguard() { c.guarded = false }

// Close takes the hooks out first: the driver would keep them for ever.
func (c *conn) Close() error {
	c.RegisterCommitHook(nil)
	c.RegisterRollbackHook(nil)
	return c.driverConn.Close()
}

// refuse is SQLite's commit hook: anything but 0 makes it roll back.
func (c *conn) refuse() int32 {
	if c.guarded {
		c.broken = true
		return 1
	}
	return 0
}

// connector opens connections that can be guarded.
type connector struct {
	driver driver.Driver
	name   string
}

// Driver implements driver.Connector.
func (c *connector) Driver() driver.Driver { return c.driver }

// Connect implements driver.Connector.
func (c *connector) Connect(context.Context) (driver.Conn, error) {
	inner, err := c.driver.Open(c.name)
	if err != nil {
		return nil, err
	}
	full, ok := inner.(driverConn)
	hooks, hooked := inner.(session)
	if !ok || !hooked {
		return nil, errors.Join(errors.New("this release of modernc.org/sqlite has no hooks: use the one of go.mod"), inner.Close())
	}
	of := &conn{driverConn: full, session: hooks}
	of.RegisterCommitHook(of.refuse)
	of.RegisterRollbackHook(func() { of.broken = true })
	return of, nil
}
