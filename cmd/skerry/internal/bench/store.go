package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/cassandra"
	"github.com/skerryhq/skerry/journal/pebble"
)

// The journals that can be measured. Cassandra is measured when Setup.URL says where it is.
const (
	Pebble    = "pebble"
	Memory    = "memory"
	Cassandra = "cassandra"
)

// Setup says what is measured and where it keeps its files.
type Setup struct {
	// Journal is Pebble, Memory or Cassandra.
	Journal string
	// URL is where Cassandra is, as cassandra.ParseURL reads it. Each run makes a keyspace of its
	// own there, whose name begins with that of the URL, and drops it when it ends.
	URL string
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

// maxPrefix leaves room for the number of a run in the 48 characters that a keyspace may have.
const maxPrefix = 32

// maxPayload keeps a command below the host's default limit of 1 MiB.
const maxPayload = 1_000_000

func (s Setup) check() error {
	switch {
	case s.Journal != Pebble && s.Journal != Memory && s.Journal != Cassandra:
		return fmt.Errorf("journal %q is not known: use %s, %s or the URL of one in Cassandra, cassandra://HOST:PORT,…/KEYSPACE", s.Journal, Pebble, Memory)
	case s.OneBatchPerShard && s.Journal != Pebble:
		return fmt.Errorf("one batch per shard is a mode of the journal %s, not of %s", Pebble, s.Journal)
	case s.Payload < 0 || s.Payload > maxPayload:
		return fmt.Errorf("a payload of %d bytes: use 0 to %d", s.Payload, maxPayload)
	case s.Shards < 0:
		return fmt.Errorf("%d shards: use a positive number", s.Shards)
	case s.Appends < 0:
		return fmt.Errorf("%d appends: use a positive number", s.Appends)
	case s.Journal == Cassandra:
		return s.checkURL()
	}
	return nil
}

func (s Setup) checkURL() error {
	cfg, err := cassandra.ParseURL(s.URL, os.Getenv)
	if err == nil && len(cfg.Keyspace) > maxPrefix {
		err = fmt.Errorf("keyspace %q: a run adds a number to it: use at most %d characters", cfg.Keyspace, maxPrefix)
	}
	return err
}

// scratch makes a folder for one run. The caller removes it with the returned function, and
// what the run has left elsewhere.
func (s Setup) scratch() (dir string, remove func() error, err error) {
	if s.Journal == Memory {
		return "", func() error { return nil }, nil
	}
	dir, err = os.MkdirTemp(s.Dir, folderPrefix)
	if err != nil {
		return "", nil, fmt.Errorf("make a folder for the journal: %w", err)
	}
	return dir, func() error { return errors.Join(s.drop(dir), os.RemoveAll(dir)) }, nil
}

const folderPrefix = "skerry-bench-"

// keyspace is the journal in Cassandra of the run that has the folder dir: its number is that of the folder.
func (s Setup) keyspace(dir string) (cassandra.Config, error) {
	cfg, err := cassandra.ParseURL(s.URL, os.Getenv)
	cfg.Keyspace += "_" + strings.TrimPrefix(filepath.Base(dir), folderPrefix)
	cfg.CreateSchema, cfg.Logger = true, s.Logger
	return cfg, err
}

// dropPatience bounds the removal of a keyspace.
const dropPatience = time.Minute

// drop removes the keyspace of a run.
func (s Setup) drop(dir string) error {
	if s.Journal != Cassandra {
		return nil
	}
	cfg, err := s.keyspace(dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), dropPatience)
	defer cancel()
	return cassandra.DropKeyspace(ctx, cfg)
}

func (s Setup) open(ctx context.Context, dir string) (journal.Journal, error) {
	switch s.Journal {
	case Memory:
		return journal.NewMemory(), nil
	case Cassandra:
		cfg, err := s.keyspace(dir)
		if err != nil {
			return nil, err
		}
		return cassandra.Open(ctx, cfg)
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
	j, err := s.open(ctx, dir)
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
