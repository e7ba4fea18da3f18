package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// DB is an open database. Its methods may be called concurrently.
type DB struct {
	write, read *sql.DB
}

// Write returns the connections that may write, those of processors. Do not read for users through it.
func (d *DB) Write() *sql.DB { return d.write }

// Read returns connections that see what is committed and cannot write. A transaction on one sees one state
// from its first statement to its end.
func (d *DB) Read() *sql.DB { return d.read }

// Close closes all connections. Stop the runner first.
func (d *DB) Close() error { return errors.Join(d.read.Close(), d.write.Close()) }

// How long a connection is kept, so that after a fail-over none is left on a server that nobody else uses.
const (
	maxLifetime = 30 * time.Minute
	maxIdleTime = 5 * time.Minute
)

// Open connects, takes the steps that the database has not yet, and refuses one that it cannot work with: the error
// names the reason and the remedy. ctx covers the opening only. After it, connections that are lost are made again.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	cfg, err := cfg.filled()
	if err != nil {
		return nil, err
	}
	writing, err := cfg.writing()
	if err != nil {
		return nil, err
	}
	reading, err := cfg.reading()
	if err != nil {
		return nil, err
	}
	d := &DB{sql.OpenDB(&connector{stdlib.GetConnector(*writing)}), stdlib.OpenDB(*reading)}
	bound(d.write, cfg.Connections)
	bound(d.read, cfg.Readers)
	if err := d.open(ctx, cfg); err != nil {
		return nil, errors.Join(explain(writing, err), d.Close())
	}
	return d, nil
}

func bound(db *sql.DB, connections int) {
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxLifetime(maxLifetime)
	db.SetConnMaxIdleTime(maxIdleTime)
}

func (d *DB) open(ctx context.Context, cfg Config) error {
	var s server
	if err := d.write.QueryRowContext(ctx, askServer).Scan(&s.version, &s.encoding, &s.isolation, &s.readOnly); err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	if err := takeSteps(ctx, d.write, cfg); err != nil {
		return err
	}
	return d.read.PingContext(ctx)
}

const askServer = `SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
	current_setting('default_transaction_isolation'), current_setting('transaction_read_only')`

// server is what a server says of itself.
type server struct {
	version                       int // 150004 is 15.4
	encoding, isolation, readOnly string
}

// oldest is the first release that can be used.
const oldest = 14

func (s server) check() error {
	switch {
	case s.version < oldest*10_000:
		return fmt.Errorf("it is PostgreSQL %d.%d: use %d or newer", s.version/10_000, s.version%10_000, oldest)
	case s.encoding != "UTF8":
		return fmt.Errorf("the database's encoding is %s, names of entities may have any character: make one with ENCODING 'UTF8' TEMPLATE template0", s.encoding)
	case s.readOnly != "off":
		return errors.New("it takes no writes: name the primary, or all hosts separated by commas; if it is the primary, default_transaction_read_only is set for this user or database")
	case s.isolation != "read committed":
		return fmt.Errorf("a session begins with isolation %q although %q was asked for: a pooler in between drops settings; connect to the server itself, or to the pooler in session mode with its startup parameters let through", s.isolation, "read committed")
	}
	return nil
}

// place names a database without its password.
func place(of *pgx.ConnConfig) string {
	hosts := []string{fmt.Sprintf("%s:%d", of.Host, of.Port)}
	for _, f := range of.Fallbacks {
		if next := fmt.Sprintf("%s:%d", f.Host, f.Port); next != hosts[len(hosts)-1] { // each is tried with TLS and without
			hosts = append(hosts, next)
		}
	}
	return fmt.Sprintf("user %s at %s/%s", of.User, strings.Join(hosts, ","), of.Database)
}
