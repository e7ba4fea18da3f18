package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/skerryhq/skerry/readside/sqlite"
)

// childFile makes the process open a file, say so, and wait to be killed.
const childFile = "SKERRY_SQLITE_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(childFile); path != "" {
		if _, err := sqlite.Open(context.Background(), sqlite.Config{Path: path}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("open")
		select {}
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, cfg sqlite.Config) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestWhatIsCommittedIsReadAndDurable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a folder with ? and # and %", "rows.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	db := open(t, sqlite.Config{Path: path, Steps: []string{`CREATE TABLE rows (n INTEGER)`}})
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"} {
		var got string
		if err := db.Write().QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q (%v), want %q", pragma, got, err, want)
		}
	}
	tx, err := db.Write().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), `INSERT INTO rows VALUES (1)`); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db); n != 0 {
		t.Errorf("a reader sees %d rows before the commit", n)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db); n != 1 {
		t.Errorf("a reader sees %d rows after the commit, want 1", n)
	}
	if _, err := db.Read().ExecContext(t.Context(), `DELETE FROM rows`); err == nil {
		t.Error("a reader could write")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, sqlite.Config{Path: path, Steps: []string{`CREATE TABLE rows (n INTEGER)`, `ALTER TABLE rows ADD COLUMN m INTEGER; CREATE INDEX by_m ON rows (m)`}})
	if n := count(t, db); n != 1 {
		t.Errorf("after a restart there are %d rows, want 1", n)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, db *sqlite.DB) (n int) {
	t.Helper()
	if err := db.Read().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM rows`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSecondOpenerIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "rows.db")
	db := open(t, sqlite.Config{Path: path})
	if _, err := sqlite.Open(t.Context(), sqlite.Config{Path: path}); !errors.Is(err, sqlite.ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("the same process gets %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, sqlite.Config{Path: path})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCrashLeavesNothingLocked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "rows.db")
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childFile+"="+path)
	var said lines
	cmd.Stdout, cmd.Stderr = &said, &said
	said.got = make(chan string, 10)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	select {
	case line := <-said.got:
		if !strings.HasPrefix(line, "open") {
			t.Fatalf("the child says %q", line)
		}
	case <-time.After(3 * time.Minute):
		t.Fatal("the child says nothing")
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Config{Path: path}); !errors.Is(err, sqlite.ErrInUse) {
		t.Errorf("beside another process, the error is %v", err)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	db := open(t, sqlite.Config{Path: path})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// lines hands out what is written.
type lines struct{ got chan string }

func (l *lines) Write(p []byte) (int, error) {
	l.got <- string(bytes.Clone(p))
	return len(p), nil
}

func TestFilesThatCannotBeUsedAreExplained(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newer := filepath.Join(dir, "newer.db")
	db := open(t, sqlite.Config{Path: newer, Steps: []string{`CREATE TABLE a (n INTEGER)`, `CREATE TABLE b (n INTEGER)`}})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(newer)
	if err != nil {
		t.Fatal(err)
	}
	torn := bytes.Clone(whole)
	for i := 100; i < 4096; i++ {
		torn[i] = 0xff
	}
	for name, test := range map[string]struct {
		cfg  sqlite.Config
		is   error
		says string
	}{
		"no database":       {sqlite.Config{Path: write("text.db", bytes.Repeat([]byte("not a database. "), 300))}, sqlite.ErrDamaged, "text.db"},
		"a damaged one":     {sqlite.Config{Path: write("torn.db", torn), Steps: []string{"a", "b"}}, sqlite.ErrDamaged, "built again from the log"},
		"a newer one":       {sqlite.Config{Path: newer, Steps: []string{`CREATE TABLE a (n INTEGER)`}}, sqlite.ErrNewer, "has taken 2 steps"},
		"a folder":          {sqlite.Config{Path: dir}, nil, dir},
		"no such folder":    {sqlite.Config{Path: filepath.Join(dir, "none", "rows.db")}, nil, "folder must exist"},
		"no path":           {sqlite.Config{}, nil, "Config.Path"},
		"a step that fails": {sqlite.Config{Path: filepath.Join(dir, "step.db"), Steps: []string{`CREATE TABLE a (n INTEGER)`, `CREATE TABEL b`}}, nil, "step 2 of 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := sqlite.Open(context.Background(), test.cfg)
			if err == nil || (test.is != nil && !errors.Is(err, test.is)) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("the error is %v, want %v and %q in it", err, test.is, test.says)
			}
		})
	}
}

func TestFolderThatCannotBeWrittenIsExplained(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		// Root may write anywhere but in a pseudo file system.
		_, err := sqlite.Open(t.Context(), sqlite.Config{Path: "/proc/rows.db"})
		if err == nil || !strings.Contains(err.Error(), "writable for this user") {
			t.Errorf("the error is %v", err)
		}
		return
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil { //nolint:gosec // a folder
		t.Fatal(err)
	}
	_, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(dir, "rows.db")})
	if err == nil || !strings.Contains(err.Error(), "writable for this user") {
		t.Errorf("the error is %v", err)
	}
}

func TestAFileIsInUseByEachOfItsNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link, folder := filepath.Join(dir, "rows.db"), filepath.Join(dir, "link.db"), filepath.Join(dir, "folder")
	for name, to := range map[string]string{link: "rows.db", folder: dir} {
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{path, link, filepath.Join(folder, "link.db")}
	for _, first := range names { // the link leads nowhere the first time
		db := open(t, sqlite.Config{Path: first})
		for _, second := range names {
			if again, err := sqlite.Open(t.Context(), sqlite.Config{Path: second}); !errors.Is(err, sqlite.ErrInUse) {
				t.Errorf("%s is open as %s, and %s gives %v", path, first, second, err)
				if err == nil {
					_ = again.Close()
				}
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// guarded is what package readside asks of a connection.
type guarded interface {
	Guard()
	Whole() bool
	Unguard()
}

func TestAGuardedConnectionCommitsNothing(t *testing.T) {
	t.Parallel()
	db := open(t, sqlite.Config{Path: filepath.Join(t.TempDir(), "rows.db"), Steps: []string{`CREATE TABLE rows (n INTEGER)`}})
	conn, err := db.Write().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(do func(guarded)) {
		if err := conn.Raw(func(c any) error { do(c.(guarded)); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	ask(guarded.Guard)
	if _, err := conn.ExecContext(t.Context(), `INSERT INTO rows VALUES (1)`); err == nil || count(t, db) != 0 {
		t.Errorf("a statement outside a transaction is committed (%v)", err)
	}
	ask(func(g guarded) {
		if g.Whole() {
			t.Error("it does not tell that something was rolled back")
		}
		g.Guard()
	})
	tx, err := conn.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), `INSERT INTO rows VALUES (2); SAVEPOINT s; INSERT INTO rows VALUES (3); ROLLBACK TO s; RELEASE s`); err != nil {
		t.Fatal(err)
	}
	ask(func(g guarded) {
		if !g.Whole() {
			t.Error("a savepoint of the user's own counts as the end of the transaction")
		}
		g.Unguard()
	})
	if err := tx.Commit(); err != nil || count(t, db) != 1 {
		t.Errorf("after Unguard, %d rows are committed (%v), want 1", count(t, db), err)
	}
	if err := errors.Join(conn.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
}
