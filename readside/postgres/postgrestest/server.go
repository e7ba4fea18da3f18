package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a running PostgreSQL. URL and Admin may be called concurrently.
type Server struct {
	install install
	dir     string
	port    int
	free    func() // gives the port back
	process *process
	schemas atomic.Int64
}

// Names in each server. The user owns the database and is no superuser; tests must not rely on the password being secret.
const (
	database   = "skerry"
	ordinary   = "skerry"
	superuser  = "postgres"
	password   = "for-tests-only"
	serverHost = "127.0.0.1"
)

// patience bounds the start of a server, its first one apart: that makes its data folder.
const patience = 3 * time.Minute

// start makes a data folder and runs a server on it.
func start(ctx context.Context) (*Server, error) {
	found, err := find()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "skerry-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{install: found, dir: dir}
	if err := s.begin(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *Server) begin(ctx context.Context) error {
	if err := s.initialise(ctx); err != nil {
		return err
	}
	if err := s.runAnywhere(ctx); err != nil {
		return err
	}
	return s.as(ctx, s.address(superuser, "postgres", nil),
		`CREATE ROLE `+ordinary+` LOGIN PASSWORD '`+password+`'`, `CREATE DATABASE `+database+` OWNER `+ordinary+` TEMPLATE template0 ENCODING 'UTF8'`)
}

func (s *Server) initialise(ctx context.Context) error {
	secret := filepath.Join(s.dir, "password")
	if err := errors.Join(s.install.own(s.dir), os.WriteFile(secret, []byte(password), 0o600), s.install.own(secret)); err != nil {
		return err
	}
	command := exec.CommandContext(ctx, filepath.Join(s.install.bin, "initdb"), "-D", s.data(), "-U", superuser, "--pwfile", secret, //nolint:gosec // our own
		"--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync")
	command.Dir, command.SysProcAttr = s.dir, s.install.attributes()
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("postgrestest: initdb: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// runAnywhere runs the server on a free port: PostgreSQL cannot choose one by itself. Where none can be reserved, another process
// may take it first.
func (s *Server) runAnywhere(ctx context.Context) error {
	const attempts = 5
	var err error
	for range attempts {
		if s.port, s.free, err = reserve(); err != nil {
			return err
		}
		if err = s.run(ctx); err == nil || ctx.Err() != nil {
			return err
		}
		s.free()
		s.free = nil
	}
	return err
}

// run starts the server. Deadlocks are found sooner than by default, since tests provoke them.
func (s *Server) run(ctx context.Context) error {
	command := exec.Command(filepath.Join(s.install.bin, "postgres"), "-D", s.data(), "-k", s.dir, "-p", strconv.Itoa(s.port), //nolint:gosec,noctx // the server outlives the test
		"-c", "listen_addresses="+serverHost, "-c", "fsync=on", "-c", "max_connections=200", "-c", "shared_buffers=32MB", "-c", "deadlock_timeout=50ms")
	command.Dir, command.SysProcAttr = s.dir, s.install.attributes()
	var err error
	if s.process, err = run(command); err != nil {
		return err
	}
	if err := s.process.await(ctx); err != nil {
		_ = s.process.end(syscall.SIGQUIT)
		return err
	}
	return nil
}

// as runs statements on a connection of its own.
func (s *Server) as(ctx context.Context, address string, statements ...string) error {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	for _, text := range statements {
		if _, err := conn.Exec(ctx, text); err != nil {
			return errors.Join(fmt.Errorf("postgrestest: %s: %w", text, err), conn.Close(ctx))
		}
	}
	return conn.Close(ctx)
}

func (s *Server) address(user, database string, query url.Values) string {
	if query == nil {
		query = url.Values{}
	}
	query.Set("sslmode", "disable")
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password), Host: net.JoinHostPort(serverHost, strconv.Itoa(s.port)),
		Path: "/" + database, RawQuery: query.Encode(),
	}
	return u.String()
}

// URL makes an empty schema and returns an address at which it is the one that is used, for a user who owns it and
// is no superuser.
func (s *Server) URL(t testing.TB) string {
	t.Helper()
	schema := fmt.Sprint("test_", s.schemas.Add(1))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.as(ctx, s.address(ordinary, database, nil), `CREATE SCHEMA `+schema); err != nil {
		t.Fatal(err)
	}
	return s.address(ordinary, database, url.Values{"search_path": {schema}})
}

// Admin returns the address of the same database for the superuser.
func (s *Server) Admin() string { return s.address(superuser, database, nil) }

// Crash ends the server as a power cut would: nothing is finished or written (immediate mode).
func (s *Server) Crash(t testing.TB) {
	t.Helper()
	s.mustEnd(t, syscall.SIGQUIT)
}

// Shut ends the server in good order: connections are ended, and everything is written (fast mode).
func (s *Server) Shut(t testing.TB) {
	t.Helper()
	s.mustEnd(t, syscall.SIGINT)
}

func (s *Server) mustEnd(t testing.TB, how syscall.Signal) {
	t.Helper()
	if err := s.process.end(how); err != nil {
		t.Fatal(err)
	}
}

// Start runs a server again that was ended, at the same address.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.run(ctx); err != nil {
		t.Fatal(err)
	}
}

// stop ends the server if it runs, and removes all that it had.
func (s *Server) stop() error {
	if s.process != nil {
		select {
		case <-s.process.ended:
		default:
			_ = s.process.end(syscall.SIGQUIT) // its folder goes anyway
		}
	}
	if s.free != nil {
		s.free()
	}
	return os.RemoveAll(s.dir)
}
