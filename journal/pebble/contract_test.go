package pebble

import (
	"context"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/journaltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// within returns a context for tests whose disks fail: it ends a minute before all tests do, but not before two minutes.
func within(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	end := time.Now().Add(2 * time.Minute)
	if last, ok := t.Deadline(); ok && last.Add(-time.Minute).After(end) {
		end = last.Add(-time.Minute)
	}
	return context.WithDeadline(t.Context(), end)
}

// opened opens a journal that the test's end closes.
func opened(t *testing.T, cfg Config) *Journal {
	t.Helper()
	j, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() }) // closed by the test already, or not
	return j
}

func TestJournalKeepsTheContract(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*testing.T, *Config){
		"in memory":       func(_ *testing.T, c *Config) { c.FS, c.Dir = vfs.NewMem(), "journal" },
		"on disk":         func(t *testing.T, c *Config) { c.Dir = t.TempDir() },
		"batch per shard": func(_ *testing.T, c *Config) { c.FS, c.Dir, c.BatchPerShard = vfs.NewMem(), "journal", true },
		"tiny memtables": func(_ *testing.T, c *Config) {
			c.FS, c.Dir, c.MemTableBytes = vfs.NewMem(), "journal", minMemTableBytes
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			journaltest.Suite{
				Open: func(t *testing.T) journal.Journal {
					cfg := Config{}
					change(t, &cfg)
					return opened(t, cfg)
				},
				Reopen: func(t *testing.T, j journal.Journal) journal.Journal {
					_ = j.Close()
					return opened(t, j.(*Journal).cfg)
				},
			}.Run(t)
		})
	}
}
