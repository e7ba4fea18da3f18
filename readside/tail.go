package readside

import (
	"context"
	"sync"

	"github.com/skerryhq/skerry/journal"
)

// tail is the end of one shard's log on this node: records are read and decoded once for
// all processors that keep up. One that is behind reads for itself.
type tail struct {
	source Source
	shard  uint32
	room   int // bytes kept at most; 0 if there is nobody to share with

	mu    sync.Mutex
	kept  []*record // without gaps
	bytes int
}

// tailBytes bounds the records that a node keeps for processors to share: each shard has its part, and no fewer
// than minTailBytes, so that above 256 shards the bound is their number times that. A record that is larger than its shard's
// part is not shared: each processor reads it for itself.
const (
	tailBytes    = 16 << 20
	minTailBytes = 64 << 10
)

func newTails(source Source, processors int) []*tail {
	room := 0
	if processors > 1 {
		room = max(tailBytes/source.Shards(), minTailBytes)
	}
	tails := make([]*tail, source.Shards())
	for i := range tails {
		tails[i] = &tail{source: source, shard: uint32(i), room: room} //nolint:gosec // as many as there are shards
	}
	return tails
}

// read returns records from a number on: at least one if that one is committed.
func (t *tail) read(ctx context.Context, d *decoder, from uint64, maxBytes int) ([]*record, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if found := t.find(from, maxBytes); found != nil {
		return found, nil
	}
	if len(t.kept) > 0 && from < t.kept[0].Number {
		// The journal is slow compared to memory: those that keep up do not wait for it.
		t.mu.Unlock()
		defer t.mu.Lock()
		return t.fetch(ctx, d, from, maxBytes)
	}
	read, err := t.fetch(ctx, d, from, maxBytes)
	if err == nil && t.room > 0 {
		t.keep(read)
	}
	return read, err
}

func (t *tail) fetch(ctx context.Context, d *decoder, from uint64, maxBytes int) ([]*record, error) {
	stored, err := t.source.Records(ctx, t.shard, from, maxBytes)
	if err != nil {
		return nil, err
	}
	return decodeAll(d, t.shard, stored)
}

func decodeAll(d *decoder, shard uint32, stored []journal.Record) ([]*record, error) {
	read := make([]*record, 0, len(stored))
	for _, rec := range stored {
		r, err := d.record(shard, rec)
		if err != nil {
			return read, err
		}
		read = append(read, r)
	}
	return read, nil
}

// find returns kept records from a number on; nil if that one is not kept.
func (t *tail) find(from uint64, maxBytes int) []*record {
	if len(t.kept) == 0 || from < t.kept[0].Number || from > t.kept[len(t.kept)-1].Number {
		return nil
	}
	first := int(from - t.kept[0].Number)
	end, bytes := first, 0
	for end < len(t.kept) && (end == first || bytes+t.kept[end].size <= maxBytes) {
		bytes += t.kept[end].size
		end++
	}
	return append([]*record(nil), t.kept[first:end]...)
}

// keep takes records in behind those kept, or instead of them if they do not follow.
func (t *tail) keep(read []*record) {
	for _, r := range read {
		if n := len(t.kept); n > 0 && r.Number != t.kept[n-1].Number+1 {
			clear(t.kept)
			t.kept, t.bytes = t.kept[:0], 0
		}
		t.kept = append(t.kept, r)
		t.bytes += r.size
	}
	n := 0
	for t.bytes > t.room {
		t.bytes -= t.kept[n].size
		n++
	}
	clear(t.kept[:n])
	t.kept = t.kept[n:]
}
