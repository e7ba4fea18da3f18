package cassandra

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/cassandra/launch"
)

func TestPasswordTLSAndPermissions(t *testing.T) {
	cluster := launch.ForTest(t, launch.Config{Password: true, TLS: true})
	var log bytes.Buffer
	parse := func(user, password, options string) Config {
		t.Helper()
		file := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := ParseURL("cassandra://"+cluster.Hosts()[0]+"/secure?dev=1&timeout="+lateAnswer.String()+options, env(UserVariable, user, PasswordFileVariable, file))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		return cfg
	}
	trusted := "&ca=" + cluster.CA
	root := opened(t, parse(launch.User, launch.Password, trusted))
	contest(t, root, 0, 1, 20, root)
	for name, cfg := range map[string]Config{
		"a wrong password":                 parse(launch.User, "wrong", trusted),
		"a certificate nobody vouches for": parse(launch.User, launch.Password, "&tls=1"),
	} {
		_, err := Open(within(t), cfg)
		if err == nil || strings.Contains(err.Error(), "wrong") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, statement := range []string{
		"CREATE ROLE IF NOT EXISTS reader WITH PASSWORD = 'secret' AND LOGIN = true",
		"GRANT SELECT ON KEYSPACE secure TO reader",
	} {
		execute(t, root, statement)
	}
	_, err := Open(within(t), parse("reader", "secret", trusted))
	if err == nil || !strings.Contains(err.Error(), "GRANT SELECT, MODIFY") || errors.Is(err, journal.ErrRefused) {
		t.Errorf("a user who may only read: %v", err)
	}
	execute(t, root, "GRANT MODIFY ON KEYSPACE secure TO reader")
	log.Reset()
	var reader *Journal
	granted := func(ctx context.Context) (err error) {
		reader, err = Open(ctx, parse("reader", "secret", trusted))
		return err
	}
	if err := patientlyWhile(within(t), unauthorized, granted); err != nil { // the node remembers for a while what it allowed
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	contest(t, root, 1, 2, 10, reader)
	t.Logf("a user of just these permissions: %s", &log)
}
