package postgres

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Config says which database is opened and how. URL is required; a zero field means the default that its
// comment gives.
type Config struct {
	// URL is postgres://USER@HOST:PORT/DATABASE?SETTING=VALUE, with several HOST:PORT separated by commas where a
	// standby may take over. Settings are libpq's (sslmode, sslrootcert, search_path, passfile, …) and those of
	// PostgreSQL itself, which go before what the fields below say.
	URL string
	// Name is the read model's: its steps are counted under it, and its sessions are called that in
	// pg_stat_activity. Default "skerry".
	Name string
	// Connections bounds those of Write, Readers those of Read. A processor uses one to write and, while somebody waits
	// for a shard that another node follows, one to look. Default 8 each.
	Connections int
	Readers     int
	// StatementTimeout bounds one statement, on the server's side. Default 5 s.
	StatementTimeout time.Duration
	// LockTimeout bounds how long a statement of Write waits for a lock that another transaction holds. Default 1 s.
	LockTimeout time.Duration
	// IdleTimeout bounds how long a transaction of Write may do nothing before the server ends its session and rolls it
	// back: so long can a frozen process hold up its shards. Default 2 s.
	IdleTimeout time.Duration
	// Steps make the service's tables, one step per change that was ever released, oldest first: each runs once, in one
	// transaction with those after it, and is never edited or removed. A step may have several statements. Default: none.
	Steps []string
}

// filled returns the config with defaults, or an error that names the wrong field.
func (c Config) filled() (Config, error) {
	if !strings.HasPrefix(c.URL, "postgres://") && !strings.HasPrefix(c.URL, "postgresql://") {
		return c, errors.New("postgres: Config.URL must be postgres://USER@HOST:PORT/DATABASE")
	}
	if c.Connections < 0 || c.Readers < 0 || c.StatementTimeout < 0 || c.LockTimeout < 0 || c.IdleTimeout < 0 {
		return c, errors.New("postgres: Config.Connections, Readers, StatementTimeout, LockTimeout and IdleTimeout cannot be negative")
	}
	if c.Name == "" {
		c.Name = "skerry"
	}
	if len(c.Name) > maxName {
		return c, fmt.Errorf("postgres: Config.Name has %d bytes, at most %d are kept by the server", len(c.Name), maxName)
	}
	for _, n := range []*int{&c.Connections, &c.Readers} {
		if *n == 0 {
			*n = 8
		}
	}
	for _, d := range []struct {
		field    *time.Duration
		standard time.Duration
	}{{&c.StatementTimeout, 5 * time.Second}, {&c.LockTimeout, time.Second}, {&c.IdleTimeout, 2 * time.Second}} {
		if *d.field == 0 {
			*d.field = d.standard
		}
	}
	return c, nil
}

// maxName limits Config.Name: the server cuts an application_name that is longer.
const maxName = 63

// connectTimeout bounds one attempt to connect, unless the URL says otherwise (connect_timeout).
const connectTimeout = 5 * time.Second

// keepAlive finds a server that is gone without a word, where nothing is under way that has a limit of its own.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}

// parse makes the settings of connections. The error says nothing of the text: it may hold a password where nobody expects one.
func (c Config) parse() (*pgx.ConnConfig, error) {
	of, err := pgx.ParseConfig(c.URL)
	if err != nil {
		return nil, errors.New("postgres: Config.URL cannot be read: give postgres://USER@HOST:PORT/DATABASE?SETTING=VALUE, special characters written as %XX; a certificate or passfile that it names must be readable (the address is not repeated here, since it may hold a password)")
	}
	if !strings.Contains(c.URL, "connect_timeout=") {
		of.ConnectTimeout = connectTimeout
	}
	of.DialFunc = (&net.Dialer{KeepAliveConfig: keepAlive}).DialContext
	c.set(of, "application_name", c.Name)
	c.set(of, "statement_timeout", milliseconds(c.StatementTimeout))
	return of, nil
}

// writing are the settings of connections that write. They are only made to a server that takes writes.
func (c Config) writing() (*pgx.ConnConfig, error) {
	of, err := c.parse()
	if err != nil {
		return nil, err
	}
	c.set(of, "lock_timeout", milliseconds(c.LockTimeout))
	c.set(of, "idle_in_transaction_session_timeout", milliseconds(c.IdleTimeout))
	of.RuntimeParams["default_transaction_isolation"] = "read committed"
	if of.ValidateConnect == nil {
		of.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	return of, nil
}

// reading are the settings of connections that only read.
func (c Config) reading() (*pgx.ConnConfig, error) {
	of, err := c.parse()
	if err != nil {
		return nil, err
	}
	of.RuntimeParams["default_transaction_isolation"] = "repeatable read"
	of.RuntimeParams["default_transaction_read_only"] = "on"
	if of.ValidateConnect == nil {
		of.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	}
	return of, nil
}

// set gives a setting a value unless the URL gives one.
func (Config) set(of *pgx.ConnConfig, name, value string) {
	if of.RuntimeParams[name] == "" {
		of.RuntimeParams[name] = value
	}
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }
