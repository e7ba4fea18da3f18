package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/pebble"
)

// The journals that can be measured.
const (
	Pebble = "pebble"
	Memory = "memory"
)

// Setup says what is measured and where it keeps its files.
type Setup struct {
	// Journal is Pebble or Memory.
	Journal string
	// Dir is where each run makes a folder of its own, removed when it ends.
	Dir string
	// Shards of the host; 0 is the host's default.
	Shards int
	// Appends bounds the host's appends under way; 0 lets the host find the bound.
	Appends int
	// Payload is the bytes in one command and so in one event.
	Payload int
	// OneBatchPerShard makes Pebble sync each shard's records in a batch of its own.
	OneBatchPerShard bool
	// small keeps the store's own memory small and even, where the heap is measured.
	small bool
	// Logger hears of the host's and the journal's troubles.
	Logger *slog.Logger
}

// maxPayload keeps a command below the host's default limit of 1 MiB.
const maxPayload = 1_000_000

func (s Setup) check() error {
	switch {
	case s.Journal != Pebble && s.Journal != Memory:
		return fmt.Errorf("journal %q is not known: use %s or %s", s.Journal, Pebble, Memory)
	case s.OneBatchPerShard && s.Journal != Pebble:
		return fmt.Errorf("one batch per shard is a mode of the journal %s, not of %s", Pebble, s.Journal)
	case s.Payload < 0 || s.Payload > maxPayload:
		return fmt.Errorf("a payload of %d bytes: use 0 to %d", s.Payload, maxPayload)
	case s.Shards < 0:
		return fmt.Errorf("%d shards: use a positive number", s.Shards)
	case s.Appends < 0:
		return fmt.Errorf("%d appends: use a positive number", s.Appends)
	}
	return nil
}

// scratch makes a folder for one run. The caller removes it with the returned function.
func (s Setup) scratch() (dir string, remove func() error, err error) {
	if s.Journal == Memory {
		return "", func() error { return nil }, nil
	}
	dir, err = os.MkdirTemp(s.Dir, "skerry-bench-")
	if err != nil {
		return "", nil, fmt.Errorf("make a folder for the journal: %w", err)
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}

func (s Setup) open(dir string) (journal.Journal, error) {
	if s.Journal == Memory {
		return journal.NewMemory(), nil
	}
	cfg := pebble.Config{Dir: filepath.Join(dir, "journal"), Logger: s.Logger, BatchPerShard: s.OneBatchPerShard}
	if s.small {
		cfg.MemTableBytes, cfg.CacheBytes = smallBytes, smallBytes
	}
	j, err := pebble.Open(cfg)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	return j, nil
}

// node is a host with the journal under it.
type node struct {
	*entity.Host
	journal journal.Journal
}

// start runs a host of one type over a journal in dir.
func (s Setup) start(ctx context.Context, dir string, typ entity.Definition, change func(*entity.Config)) (*node, error) {
	j, err := s.open(dir)
	if err != nil {
		return nil, err
	}
	cfg := entity.Config{Journal: j, Types: []entity.Definition{typ}, Shards: s.Shards, MaxAppends: s.Appends, Logger: s.Logger, SlowAfter: slowAfter}
	if change != nil {
		change(&cfg)
	}
	host, err := entity.Start(ctx, cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the host: %w", err), j.Close())
	}
	return &node{host, j}, nil
}

// stop ends host and journal, in this order, and waits for both.
func (n *node) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	return errors.Join(n.Host.Stop(ctx), n.journal.Close())
}

// smallBytes is what each of the store's memory pools gets where the heap is measured.
const smallBytes = 4 << 20

// slowAfter keeps the host from telling of each slow command: a benchmark counts them.
const slowAfter = time.Minute
