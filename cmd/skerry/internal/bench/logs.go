package bench

import (
	"context"
	"fmt"

	"github.com/skerryhq/skerry/journal"
)

// logs is how far the log of each shard reaches.
type logs struct {
	heads []uint64 // newest record, by shard
	// records and events count those of all shards.
	records, events uint64
}

func logsOf(ctx context.Context, n *node) (l logs, err error) {
	shards, err := n.Shards(ctx)
	if err != nil {
		return l, fmt.Errorf("read the state of the shards: %w", err)
	}
	for _, s := range shards {
		l.heads = append(l.heads, s.Head)
		l.records += s.Head
		l.events += s.Offset
	}
	return l, nil
}

// sampleBytes limits what is read of one shard to learn the size of its records.
const sampleBytes = 1 << 20

// averageRecord returns the mean size of records that were written between
// before and after, from a sample of each shard.
func averageRecord(ctx context.Context, from journal.Log, before, after logs) (int, error) {
	var bytes, records int
	for shard := range after.heads {
		if after.heads[shard] == before.heads[shard] {
			continue
		}
		sample, err := from.Read(ctx, uint32(shard), before.heads[shard]+1, sampleBytes)
		if err != nil {
			return 0, fmt.Errorf("read records of shard %d: %w", shard, err)
		}
		for _, r := range sample {
			bytes += len(r.Body)
			records++
		}
	}
	if records == 0 {
		return 0, fmt.Errorf("no command was answered while it was measured: measure for longer")
	}
	return bytes / records, nil
}
