package cassandra

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

func TestTheNameOfADroppedKeyspaceIsRefused(t *testing.T) {
	t.Parallel()
	cfg := fresh(t)
	first := opened(t, cfg)
	contest(t, first, 0, 1, 5, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := DropKeyspace(within(t), cfg); err != nil {
		t.Fatal(err)
	}
	production := cfg
	production.Development, production.CreateSchema = false, true
	if _, err := Open(within(t), production); !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), "choose another name") {
		t.Errorf("in production: %v", err)
	}
	var log bytes.Buffer
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	contest(t, opened(t, cfg), 0, 1, 5, opened(t, cfg)) // one node has missed nothing
	if !strings.Contains(log.String(), "a keyspace of this name was dropped") {
		t.Errorf("no warning in development: %s", &log)
	}
}

// Those who are late find agreements of those who were early.
func TestFirstStartsAtOnceAreNoReuse(t *testing.T) {
	t.Parallel()
	cfg := fresh(t)
	var log bytes.Buffer
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	var starts sync.WaitGroup
	for range 5 {
		starts.Go(func() {
			j, err := Open(within(t), cfg)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { _ = j.Close() })
		})
	}
	starts.Wait()
	if strings.Contains(log.String(), "was dropped") {
		t.Errorf("told: %s", &log)
	}
}
