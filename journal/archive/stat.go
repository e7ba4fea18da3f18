package archive

import (
	"context"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/skerryhq/skerry/journal"
)

// Stats is how large a journal is.
type Stats struct {
	History string       `json:"history"`
	Shards  []ShardStats `json:"shards"`
	Total   ShardStats   `json:"total"`
}

// ShardStats is how large the log of one shard is.
type ShardStats struct {
	Shard   int    `json:"shard"`
	Records uint64 `json:"records"`
	Events  uint64 `json:"events"`
	// Bytes is those of the records, without keys and what the store adds.
	Bytes    uint64 `json:"bytes"`
	Entities uint64 `json:"entities"`
	// Epoch counts the claims; of the total it is the largest.
	Epoch uint64 `json:"epoch"`
	// AverageRecord is in bytes.
	AverageRecord uint64 `json:"average_record"`
	// FlushLag is how many records an owner would read to take over; of the total it is the largest.
	FlushLag uint64 `json:"flush_lag"`
}

// Stat reads all logs and counts what they hold.
func Stat(ctx context.Context, j journal.Journal, progress Progress) (*Stats, error) {
	s, err := serviceOf(ctx, j)
	if err != nil {
		return nil, err
	}
	all, total, err := heads(ctx, j, s.shards)
	if err != nil {
		return nil, err
	}
	stats := &Stats{History: s.history, Total: ShardStats{Shard: s.shards}}
	done := uint64(0)
	for i, head := range all {
		one, err := statShard(ctx, j, i, head, func() {
			done++
			progress.tell(done, total)
		})
		if err != nil {
			return nil, fmt.Errorf("archive: read shard %d: %w", i, err)
		}
		stats.Shards = append(stats.Shards, one)
		stats.Total.add(one)
	}
	return stats, nil
}

func (s *ShardStats) add(o ShardStats) {
	s.Records += o.Records
	s.Events += o.Events
	s.Bytes += o.Bytes
	s.Entities += o.Entities
	s.Epoch = max(s.Epoch, o.Epoch)
	s.FlushLag = max(s.FlushLag, o.FlushLag)
	s.average()
}

func (s *ShardStats) average() {
	if s.Records > 0 {
		s.AverageRecord = s.Bytes / s.Records
	}
}

func statShard(ctx context.Context, j journal.Journal, shard int, head journal.Head, read func()) (s ShardStats, err error) {
	s = ShardStats{
		Shard: shard, Records: head.Last.Number, Events: head.Last.NextOffset() - 1, Epoch: head.Last.Epoch,
		FlushLag: head.Last.Number - min(head.Flushed, head.Last.Number),
	}
	entities := map[uint64]struct{}{} // hashes of their names: 8 bytes each
	for from := uint64(1); from <= head.Last.Number; {
		records, err := j.Read(ctx, uint32(shard), from, readBytes)
		if err != nil {
			return s, err
		}
		if len(records) == 0 {
			return s, fmt.Errorf("%w: the log ends before record %d, which is stored", journal.ErrCorrupt, from)
		}
		for _, rec := range records {
			s.Bytes += uint64(len(rec.Body))
			from = rec.Number + 1
			read()
			if err := rec.EachEntry(func(b []byte) error { return countEntity(entities, b) }); err != nil {
				return s, err
			}
		}
	}
	s.Entities = uint64(len(entities))
	s.average()
	return s, nil
}

func countEntity(entities map[uint64]struct{}, b []byte) error {
	e, err := parseEntry(b)
	if err == nil {
		entities[xxhash.Sum64String(e.of.Type+"\x00"+e.of.ID)] = struct{}{}
	}
	return err
}
