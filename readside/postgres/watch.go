package postgres

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/jackc/pgx/v5/stdlib"
)

// This file lets a processor's runner see, without a round trip per handler, whether its transaction is still the one that
// it began. PostgreSQL tells with each answer whether a transaction is open or failed. It does not tell one from the next, which
// a handler's text COMMIT; BEGIN would make: so the transaction has the session's name changed for its own time. The server reports
// each change of that, also the change back at the transaction's end.

// conn is a connection that can be watched.
type conn struct{ *stdlib.Conn }

// watched is the application_name of a session whose transaction is watched.
const watched = "skerry: handlers"

// Watch begins, within a transaction.
func (c *conn) Watch(ctx context.Context) error {
	_, err := c.Conn.Conn().Exec(ctx, `SET LOCAL application_name = '`+watched+`'`)
	return err
}

// Whole tells that the transaction in which Watch was called goes on and can commit.
func (c *conn) Whole() bool {
	on := c.Conn.Conn().PgConn()
	return !on.IsClosed() && on.TxStatus() == 'T' && on.ParameterStatus("application_name") == watched
}

// connector opens connections that can be watched.
type connector struct{ driver.Connector }

// Connect implements driver.Connector.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	of, ok := inner.(*stdlib.Conn)
	if !ok {
		_ = inner.Close()
		return nil, fmt.Errorf("postgres: this release of pgx makes connections of type %T: use the one of go.mod", inner)
	}
	return &conn{of}, nil
}
