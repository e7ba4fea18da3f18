package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/skerryhq/skerry/readside/postgres"
	"github.com/skerryhq/skerry/readside/postgres/postgrestest"
)

var server postgrestest.Shared

func TestMain(m *testing.M) {
	code := m.Run()
	server.Stop()
	if err := leaks(); err != nil && code == 0 {
		println(err.Error())
		code = 1
	}
	os.Exit(code)
}

// leaks returns which goroutines stay. Those of connections that were closed get a minute to end.
func leaks() error {
	for end := time.Now().Add(time.Minute); ; {
		if err := goleak.Find(); err == nil || time.Now().After(end) {
			return err
		}
	}
}

func open(t *testing.T, cfg postgres.Config) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func setting(t *testing.T, db *sql.DB, name string) (value string) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), `SELECT current_setting($1)`, name).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestSessionsHaveLimitsAndAName(t *testing.T) {
	t.Parallel()
	db := open(t, postgres.Config{URL: server.URL(t), Name: "lots"})
	for name, want := range map[string]string{
		"application_name": "lots", "statement_timeout": "5s", "lock_timeout": "1s", "idle_in_transaction_session_timeout": "2s",
		"default_transaction_isolation": "read committed",
	} {
		if got := setting(t, db.Write(), name); got != want {
			t.Errorf("writing, %s is %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"default_transaction_isolation": "repeatable read", "default_transaction_read_only": "on", "statement_timeout": "5s"} {
		if got := setting(t, db.Read(), name); got != want {
			t.Errorf("reading, %s is %q, want %q", name, got, want)
		}
	}
	if n := db.Write().Stats().MaxOpenConnections; n != 8 {
		t.Errorf("at most %d connections write, want 8", n)
	}
}

func TestTheAddressMayOverruleALimit(t *testing.T) {
	t.Parallel()
	db := open(t, postgres.Config{URL: server.URL(t) + "&lock_timeout=7s"})
	if got := setting(t, db.Write(), "lock_timeout"); got != "7s" {
		t.Errorf("lock_timeout is %s", got)
	}
}

func TestStepsAreTakenOnceByProcessesThatStartTogether(t *testing.T) {
	t.Parallel()
	address := server.URL(t)
	steps := []string{`CREATE TABLE lots (lot TEXT PRIMARY KEY); CREATE TABLE bids (lot TEXT)`, `ALTER TABLE lots ADD COLUMN high BIGINT`}
	var together sync.WaitGroup
	for range 6 {
		together.Go(func() { open(t, postgres.Config{URL: address, Steps: steps}) })
	}
	together.Wait()
	db := open(t, postgres.Config{URL: address, Steps: append(steps, `INSERT INTO lots VALUES ('a', 1)`)})
	open(t, postgres.Config{URL: address, Name: "another", Steps: []string{`CREATE TABLE sales (sale TEXT)`}})
	var high int64
	if err := db.Read().QueryRowContext(t.Context(), `SELECT high FROM lots`).Scan(&high); err != nil || high != 1 {
		t.Errorf("the new step made %d, %v", high, err)
	}
	if _, err := postgres.Open(t.Context(), postgres.Config{URL: address, Steps: steps}); !errors.Is(err, postgres.ErrNewer) {
		t.Errorf("an older program gets %v", err)
	}
}

func TestAStepThatFailsLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	address := server.URL(t)
	_, err := postgres.Open(t.Context(), postgres.Config{URL: address, Steps: []string{`CREATE TABLE lots (lot TEXT)`, `CREATE TABLE lots (lot TEXT)`}})
	if err == nil || !strings.Contains(err.Error(), "step 2 of 2") {
		t.Fatalf("it says %v", err)
	}
	open(t, postgres.Config{URL: address, Steps: []string{`CREATE TABLE lots (lot TEXT)`}})
}

// edited changes a part of an address.
func edited(t *testing.T, address string, edit func(*url.URL)) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	edit(u)
	return u.String()
}

func TestRefusalsNameReasonAndRemedyAndNoPassword(t *testing.T) {
	t.Parallel()
	address := server.URL(t)
	admin := open(t, postgres.Config{URL: server.Server(t).Admin()})
	if _, err := admin.Write().ExecContext(t.Context(), `CREATE SCHEMA IF NOT EXISTS locked; GRANT USAGE ON SCHEMA locked TO skerry`); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		address string
		kind    error
		says    string
	}{
		"a wrong password":       {edited(t, address, func(u *url.URL) { u.User = url.UserPassword("skerry", "s3cret") }), postgres.ErrRefused, "PGPASSWORD"},
		"an unknown database":    {edited(t, address, func(u *url.URL) { u.Path = "/nowhere"; u.User = url.UserPassword("postgres", password(u)) }), postgres.ErrRefused, "CREATE DATABASE"},
		"nobody listens":         {edited(t, address, func(u *url.URL) { u.Host = "127.0.0.1:1"; u.User = url.UserPassword("skerry", "s3cret") }), postgres.ErrUnreachable, "is it running"},
		"a schema that is not":   {edited(t, address, func(u *url.URL) { u.RawQuery = "sslmode=disable&search_path=nowhere" }), postgres.ErrRefused, "CREATE SCHEMA"},
		"no right to make any":   {edited(t, address, func(u *url.URL) { u.RawQuery = "sslmode=disable&search_path=locked" }), postgres.ErrRefused, "GRANT CREATE"},
		"no address":             {"lots.db", nil, "postgres://USER@HOST"},
		"an address with a slip": {"postgres://ann:s3/cret@db:port/lots", nil, "cannot be read"},
	} {
		_, err := postgres.Open(t.Context(), postgres.Config{URL: test.address, Steps: []string{`CREATE TABLE lots (lot TEXT)`}})
		switch {
		case err == nil, test.kind != nil && !errors.Is(err, test.kind), !strings.Contains(err.Error(), test.says):
			t.Errorf("%s: it says %v", name, err)
		case strings.Contains(err.Error(), "s3"), strings.Contains(err.Error(), "cret@"), strings.Contains(err.Error(), "\n"):
			t.Errorf("%s: it repeats the password, or has lines: %v", name, err)
		}
	}
}

func password(u *url.URL) string {
	p, _ := u.User.Password()
	return p
}

func TestADatabaseThatTakesNoWritesIsRefused(t *testing.T) {
	t.Parallel()
	_, err := postgres.Open(t.Context(), postgres.Config{URL: server.URL(t) + "&default_transaction_read_only=on"})
	if err == nil || !strings.Contains(err.Error(), "read only") {
		t.Errorf("it says %v", err)
	}
}

func TestReadersSeeOneStateAndCannotWrite(t *testing.T) {
	t.Parallel()
	db := open(t, postgres.Config{URL: server.URL(t), Steps: []string{`CREATE TABLE lots (lot TEXT)`}})
	tx, err := db.Read().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	count := func() (n int) {
		if err := tx.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM lots`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := count()
	if _, err := db.Write().ExecContext(t.Context(), `INSERT INTO lots VALUES ('a')`); err != nil {
		t.Fatal(err)
	}
	if after := count(); before != 0 || after != 0 {
		t.Errorf("it saw %d, then %d rows", before, after)
	}
	if _, err := db.Read().ExecContext(t.Context(), `INSERT INTO lots VALUES ('b')`); err == nil {
		t.Error("a reader wrote")
	}
}

func TestAServerThatComesBackIsUsedAgain(t *testing.T) {
	t.Parallel()
	own := postgrestest.ForTest(t)
	db := open(t, postgres.Config{URL: own.URL(t), Steps: []string{`CREATE TABLE lots (lot TEXT)`}})
	if _, err := db.Write().ExecContext(t.Context(), `INSERT INTO lots VALUES ('a')`); err != nil {
		t.Fatal(err)
	}
	own.Crash(t)
	if err := db.Write().PingContext(t.Context()); err == nil {
		t.Error("a server that crashed answers")
	}
	own.Start(t)
	var n int
	if err := db.Read().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM lots`).Scan(&n); err != nil || n != 1 {
		t.Errorf("after the crash there are %d rows, %v", n, err)
	}
}

func TestAFrozenTransactionIsEndedByTheServer(t *testing.T) {
	t.Parallel()
	cfg := postgres.Config{URL: server.URL(t), Steps: []string{`CREATE TABLE lots (lot TEXT); INSERT INTO lots VALUES ('a')`}}
	open(t, cfg) // without the limit, within which it might not be done
	cfg.IdleTimeout, cfg.LockTimeout, cfg.StatementTimeout = 20*time.Millisecond, time.Hour, time.Hour
	db := open(t, cfg)
	tx := frozen(t, db)
	defer func() { _ = tx.Rollback() }()
	// Nothing more is said in tx: another transaction gets the row once the server has ended that.
	if _, err := db.Write().ExecContext(context.WithoutCancel(t.Context()), `UPDATE lots SET lot = 'c' WHERE lot = 'a'`); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err == nil {
		t.Error("it committed all the same")
	}
}

// frozen begins a transaction and changes the row; once more if this process was so slow that the server ended it before that.
func frozen(t *testing.T, db *postgres.DB) *sql.Tx {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); ; {
		tx, err := db.Write().BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = tx.ExecContext(t.Context(), `UPDATE lots SET lot = 'b'`)
		if err == nil {
			return tx
		}
		if _ = tx.Rollback(); time.Now().After(end) {
			t.Fatal(err)
		}
		t.Logf("once more: %v", err)
	}
}
