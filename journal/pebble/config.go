package pebble

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Config says where a journal lies and how it uses the machine. Zero fields
// mean the defaults named here.
type Config struct {
	// Dir is the directory of the journal; it is made when missing. Required.
	Dir string
	// FS is the file system that holds Dir; the operating system's by default.
	FS vfs.FS
	// Logger hears of repairs, failures and recoveries; silent by default.
	Logger *slog.Logger
	// MaxRecordBytes limits a record's body; larger ones are refused. 8 MiB by default.
	MaxRecordBytes int
	// MinFree is the free space, in bytes, below which appends and derived
	// writes are refused with ErrFull. It must leave room for what is still in
	// memory and for one compaction; 256 MiB by default, negative for none.
	// Once the disk was full indeed, MemTableBytes must be free to go on.
	MinFree int64
	// CacheBytes is the memory for blocks read from disk; 64 MiB by default.
	CacheBytes int64
	// MemTableBytes is the memory that gathers writes before they are sorted
	// into a table; up to maxMemTables of them exist. 64 MiB by default.
	MemTableBytes int
	// BatchPerShard writes and syncs one batch per shard instead of one for
	// all. It exists to measure what the common batch is worth.
	BatchPerShard bool
}

const (
	defaultMaxRecordBytes = 8 << 20
	defaultMinFree        = 256 << 20
	defaultCacheBytes     = 64 << 20
	defaultMemTableBytes  = 64 << 20

	// minMemTableBytes leaves room for the largest batch: Pebble gives a batch
	// of half a memtable a table of its own, which costs a flush.
	minMemTableBytes = 256 << 10

	// maxBatchBytes ends a gathering batch, so that a queue of large records
	// does not become one long write.
	maxBatchBytes = 8 << 20

	// patience bounds how long a call waits for a journal that is being reopened.
	patience = 2 * time.Second
)

// withDefaults returns the config with defaults filled in, or what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, fmt.Errorf("journal/pebble: Config.Dir is empty: name the directory of the journal")
	}
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.MaxRecordBytes = orDefault(c.MaxRecordBytes, defaultMaxRecordBytes)
	c.MinFree = orDefault(c.MinFree, defaultMinFree)
	c.CacheBytes = orDefault(c.CacheBytes, defaultCacheBytes)
	c.MemTableBytes = orDefault(c.MemTableBytes, defaultMemTableBytes)
	switch {
	case c.MaxRecordBytes < 0:
		return c, fmt.Errorf("journal/pebble: Config.MaxRecordBytes is %d: it must not be negative", c.MaxRecordBytes)
	case c.CacheBytes < 0:
		return c, fmt.Errorf("journal/pebble: Config.CacheBytes is %d: it must not be negative", c.CacheBytes)
	case c.MemTableBytes < minMemTableBytes:
		return c, fmt.Errorf("journal/pebble: Config.MemTableBytes is %d: at least %d are needed", c.MemTableBytes, minMemTableBytes)
	}
	return c, nil
}

func orDefault[N int | int64](n, otherwise N) N {
	if n == 0 {
		return otherwise
	}
	return n
}
