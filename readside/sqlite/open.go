package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"modernc.org/sqlite"
)

// Config says which file is opened and how. Path is required; a zero field means the
// default that its comment gives.
type Config struct {
	// Path is the file; it is made if it is missing, its folder is not.
	Path string
	// Readers bounds the connections that read at once. Default 4.
	Readers int
	// BusyTimeout is how long a statement waits for a lock before it fails. Locks last
	// long only if a tool of somebody else has the file open. Default 5 s.
	BusyTimeout time.Duration
	// CacheBytes is each connection's cache of pages. Default 8 MiB.
	CacheBytes int
	// Steps make the service's tables, one step per change that was ever released, oldest
	// first: each runs once, in a transaction of its own, and is never edited or removed. A step may have
	// several statements. The file counts them (PRAGMA user_version). Default: none.
	Steps []string
}

// Errors of Open.
var (
	// ErrInUse is wrapped when another process, or this one, has the file open.
	ErrInUse = errors.New("sqlite: in use")
	// ErrDamaged is wrapped when the file is no database, or a broken one.
	ErrDamaged = errors.New("sqlite: damaged")
	// ErrNewer is wrapped when a newer release has changed the tables.
	ErrNewer = errors.New("sqlite: written by a newer release")
)

// DB is an open file. Its methods may be called concurrently.
type DB struct {
	path        string
	lock        *os.File
	write, read *sql.DB
}

// Write returns the one connection that may write: a transaction on it waits for the one
// before it. Do not read for users through it.
func (d *DB) Write() *sql.DB { return d.write }

// Read returns connections that see the last committed state and cannot write. A transaction
// on one sees one state from its first statement to its end.
func (d *DB) Read() *sql.DB { return d.read }

// Path returns the file's path.
func (d *DB) Path() string { return d.path }

// Close closes all connections and lets other processes have the file. Stop the runner first.
func (d *DB) Close() error {
	return errors.Join(d.read.Close(), d.write.Close(), unlock(d.lock))
}

// Open opens or makes the file, takes the steps that it has not yet, and refuses one that is
// in use, damaged, or of a newer release.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if cfg.Path == "" {
		return nil, errors.New("sqlite: Config.Path is missing")
	}
	if cfg.Readers < 0 || cfg.BusyTimeout < 0 || cfg.CacheBytes < 0 {
		return nil, errors.New("sqlite: Config.Readers, BusyTimeout and CacheBytes cannot be negative")
	}
	if cfg.Readers == 0 {
		cfg.Readers = 4
	}
	if cfg.BusyTimeout == 0 {
		cfg.BusyTimeout = 5 * time.Second
	}
	if cfg.CacheBytes == 0 {
		cfg.CacheBytes = 8 << 20
	}
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %s: %w", cfg.Path, err)
	}
	path = resolve(path)
	cfg.Path = path
	lock, err := lock(path)
	if err != nil {
		return nil, err
	}
	d := &DB{path: path, lock: lock}
	if err := d.open(ctx, cfg); err != nil {
		return nil, errors.Join(explain(path, err), d.abandon())
	}
	return d, nil
}

// maxLinks is how many symbolic links are followed one after another.
const maxLinks = 32

// resolve follows symbolic links, since the lock stands beside the file itself, which need not exist
// yet. What cannot be resolved is left as it is: opening it says why.
func resolve(path string) string {
	for range maxLinks {
		if folder, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
			path = filepath.Join(folder, filepath.Base(path))
		}
		to, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return path
}

func (d *DB) open(ctx context.Context, cfg Config) (err error) {
	if d.read, err = sql.Open("sqlite", address(cfg, true)); err != nil {
		return err
	}
	d.write = sql.OpenDB(&connector{d.read.Driver(), address(cfg, false)})
	d.write.SetMaxOpenConns(1)
	d.write.SetMaxIdleConns(1)
	if err := checkFile(ctx, d.write); err != nil {
		return err
	}
	if err := takeSteps(ctx, d.write, cfg); err != nil {
		return err
	}
	d.read.SetMaxOpenConns(cfg.Readers)
	d.read.SetMaxIdleConns(cfg.Readers)
	return d.read.PingContext(ctx)
}

// address is the data source's name for modernc.org/sqlite.
func address(cfg Config, readOnly bool) string {
	q := url.Values{}
	q.Add("_pragma", "busy_timeout("+strconv.FormatInt(cfg.BusyTimeout.Milliseconds(), 10)+")")
	q.Add("_pragma", "cache_size(-"+strconv.Itoa(max(cfg.CacheBytes/1024, 1))+")")
	if readOnly {
		q.Add("_pragma", "query_only(1)")
	} else {
		q.Add("_pragma", "journal_mode(WAL)")
		q.Add("_pragma", "synchronous(FULL)")
		q.Add("_pragma", "foreign_keys(1)")
		q.Set("_txlock", "immediate")
	}
	return (&url.URL{Scheme: "file", Path: cfg.Path, RawQuery: q.Encode()}).String()
}

// checkFile reads enough of the file to know that it is a database in the mode that is asked
// for. It does not read all of it: a start must not take longer the larger the file is.
func checkFile(ctx context.Context, db *sql.DB) error {
	var mode string
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("it cannot be put into WAL mode (it is %q): give a file on a local disk", mode)
	}
	var tables int
	return db.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_schema").Scan(&tables)
}

// takeSteps makes the tables as this release wants them.
func takeSteps(ctx context.Context, db *sql.DB, cfg Config) error {
	var have int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	if have > len(cfg.Steps) {
		return fmt.Errorf("%w: it has taken %d steps, this program knows %d: run the newer program, or remove the file to build it again from the log", ErrNewer, have, len(cfg.Steps))
	}
	for n := have; n < len(cfg.Steps); n++ {
		if err := takeStep(ctx, db, cfg.Steps[n], n+1); err != nil {
			return fmt.Errorf("step %d of %d (Config.Steps): %w", n+1, len(cfg.Steps), err)
		}
	}
	return nil
}

func takeStep(ctx context.Context, db *sql.DB, step string, number int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, step); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "PRAGMA user_version = "+strconv.Itoa(number)); err != nil {
		return err
	}
	return tx.Commit()
}

// abandon closes what Open had opened.
func (d *DB) abandon() error {
	var errs []error
	for _, db := range []*sql.DB{d.read, d.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(append(errs, unlock(d.lock))...)
}

// explain names the file and what to do.
func explain(path string, err error) error {
	const corrupt, cannotOpen, notADatabase, readOnly = 11, 14, 26, 8
	var of *sqlite.Error
	code := -1
	if errors.As(err, &of) {
		code = of.Code() & 0xff
	}
	switch code {
	case corrupt, notADatabase:
		return fmt.Errorf("%w: %s: %w: move it away; without it the read model is built again from the log", ErrDamaged, path, err)
	case cannotOpen, readOnly:
		return fmt.Errorf("sqlite: %s: %w: the file and its folder must be writable for this user", path, err)
	}
	return fmt.Errorf("sqlite: %s: %w", path, err)
}
