package pebble

import (
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

// options tunes Pebble for few large appends per second, mostly to the ends of
// logs, on few processors. BenchmarkAppend on two processors, 20 kB records
// of 32 shards, in processor time per byte appended: Pebble's defaults 6.0 ns,
// L0CompactionThreshold 4 instead of 2: 3.9, values beside the tables: 2.6.
func (j *Journal) options(h *handle) *pebble.Options {
	opts := &pebble.Options{
		FS:        h.guard,
		Lock:      j.lock,
		Comparer:  comparer,
		CacheSize: j.cfg.CacheBytes,
		Logger:    &pebbleLogger{log: j.cfg.Logger, guard: h.guard},

		// Named, not "newest": another release of Pebble must not change
		// what older ones of ours can read. It has checksums in log chunks and
		// table footers, and values beside the tables.
		FormatMajorVersion: pebble.FormatValueSeparation,

		MemTableSize: uint64(j.cfg.MemTableBytes),
		// Commits wait before Pebble would stop them; see backlog.
		MemTableStopWritesThreshold: 2 * maxMemTables,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       1000,
		LBaseMaxBytes:               256 << 20,
	}
	opts.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionFastest })
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	separateValues(opts)
	opts.EventListener = h.listener(j.cfg.Logger)
	return opts
}

// separateValues keeps records and pages out of compactions: the ends of many
// logs interleave in each flush, and without it every compaction would copy
// what is never changed.
func separateValues(opts *pebble.Options) {
	policy := pebble.ValueSeparationPolicy{
		Enabled:     true,
		MinimumSize: 1 << 10,
		// Each flush touches every log, so tables refer to many files at once.
		MaxBlobReferenceDepth: 100,
		// Only snapshots leave garbage.
		TargetGarbageRatio: 0.3,
		RewriteMinimumAge:  time.Minute,
	}
	opts.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy { return policy }
	// Our suffixes are numbers of records and entries, not versions of a value.
	everywhere := pebble.SpanPolicy{DisableValueSeparationBySuffix: true}
	opts.Experimental.SpanPolicyFunc = func([]byte) (pebble.SpanPolicy, []byte, error) { return everywhere, nil, nil }
}
