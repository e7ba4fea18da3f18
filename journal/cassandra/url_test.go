package cassandra

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestAURLSaysWhereTheJournalLies(t *testing.T) {
	t.Parallel()
	cfg, err := ParseURL("cassandra://h1:9142,h2/auction?dc=north&dev=1&timeout=2s&bucket=1000&record=100", env())
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(cfg.Hosts, " "); got != "h1:9142 h2" || cfg.Keyspace != "auction" || cfg.DataCenter != "north" ||
		!cfg.Development || cfg.Timeout != 2*time.Second || cfg.BucketBytes != 1000 || cfg.MaxRecordBytes != 100 || cfg.TLS != nil {
		t.Errorf("%+v", cfg)
	}
	if port, err := cfg.port(); err != nil || port != 9142 {
		t.Errorf("port %d, %v", port, err)
	}
	if cfg, err = ParseURL("cassandra://h/k?tls=1", env()); err != nil || cfg.TLS == nil || cfg.TLS.InsecureSkipVerify {
		t.Errorf("with TLS: %+v, %v", cfg.TLS, err)
	}
}

func TestABadURLIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "h1/auction", "http://h1/auction", "cassandra://h1", "cassandra:///auction", "cassandra://h1/auction?nonsense=1",
		"cassandra://h1/auction?dev=maybe", "cassandra://h1/auction?timeout=1", "cassandra://h1/auction?ca=/does/not/exist",
		"cassandra://h1/k?%zz",
	} {
		if _, err := ParseURL(text, env()); err == nil || !strings.HasPrefix(err.Error(), "journal/cassandra: ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAPasswordIsNeverShown(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := ParseURL("cassandra://h/k", env(UserVariable, "ann", PasswordFileVariable, file, PasswordVariable, "other"))
	if err != nil || cfg.Username != "ann" || cfg.Password != secret {
		t.Fatalf("user %q, %v", cfg.Username, err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("config", "all", cfg, "password", cfg.Password)
	slog.New(slog.NewTextHandler(&log, nil)).Info("config", "all", cfg, "password", cfg.Password)
	_, inURL := ParseURL("cassandra://ann:"+secret+"@h/k", env())
	_, unreadable := ParseURL("cassandra://ann:"+secret+"@h:x:y/k%zz", env())
	shown := log.String() + fmt.Sprintf("%v %+v %#v %s", cfg, cfg, cfg, cfg.Password) + fmt.Sprint(inURL, unreadable)
	if strings.Contains(shown, secret) {
		t.Errorf("the password is shown: %s", shown)
	}
	if inURL == nil || unreadable == nil {
		t.Error("a password in the URL is taken")
	}
}

func TestABadConfigNamesTheField(t *testing.T) {
	t.Parallel()
	good := Config{Hosts: []string{"h"}, Keyspace: "k"}
	for field, change := range map[string]func(*Config){
		"Hosts":           func(c *Config) { c.Hosts = nil },
		"Keyspace":        func(c *Config) { c.Keyspace = "k; DROP" },
		"Username":        func(c *Config) { c.Password = "p" },
		"Timeout":         func(c *Config) { c.Timeout = -1 },
		"MaxRecordBytes":  func(c *Config) { c.MaxRecordBytes = -1 },
		"DerivedInFlight": func(c *Config) { c.DerivedInFlight = -1 },
	} {
		cfg := good
		change(&cfg)
		if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "Config."+field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	bad := good
	bad.Hosts = []string{"h:nine"}
	if _, err := Open(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "Config.Hosts") {
		t.Errorf("a port that is no number: %v", err)
	}
}
