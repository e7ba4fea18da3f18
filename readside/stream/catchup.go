package stream

import (
	"context"
	"fmt"
	"sort"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// catcher reads from the journal what one client has missed. Few clients read at a time; nobody
// holds a place while it writes.
type catcher struct {
	source Source
	render *renderer
	places chan struct{}
	stored entity.StoredReader
}

// fill tells a client the events of a gap.
func (k *catcher) fill(ctx context.Context, c *client, g gap) error {
	number, err := k.find(ctx, g, c.at[g.shard]+1)
	if err != nil {
		return err
	}
	for c.at[g.shard] < g.upTo {
		batches, next, err := k.read(ctx, g.shard, number)
		if err != nil {
			return err
		}
		if next == number {
			return unreadable(g.shard, number)
		}
		if err := c.tell(ctx, k.source.History(), batches); err != nil {
			return err
		}
		number = next
	}
	return nil
}

// read renders some records, when it is this client's turn.
func (k *catcher) read(ctx context.Context, shard uint32, number uint64) (batches []*batch, next uint64, err error) {
	if err := k.enter(ctx); err != nil {
		return nil, 0, err
	}
	defer k.leave()
	records, err := k.source.Records(ctx, shard, number, readBytes)
	if err != nil {
		return nil, 0, err
	}
	b := &batch{}
	for _, rec := range records {
		commands, err := k.render.record(&k.stored, shard, rec)
		if err != nil {
			return nil, 0, err
		}
		for _, c := range commands {
			if b.full() {
				batches, b = append(batches, b), &batch{}
			}
			b.add(shard, c)
		}
		number++
	}
	return append(batches, b), number, nil
}

func (k *catcher) enter(ctx context.Context) error {
	select {
	case k.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (k *catcher) leave() { <-k.places }

// find returns the number of the record with the event at an offset, which is in the gap. It looks back
// from the gap's end in growing steps, because what a client has missed is mostly near.
func (k *catcher) find(ctx context.Context, g gap, offset uint64) (number uint64, err error) {
	if err := k.enter(ctx); err != nil {
		return 0, err
	}
	defer k.leave()
	endsBehind := func(number uint64) bool {
		end := uint64(0)
		if err == nil {
			end, err = k.end(ctx, g.shard, number)
		}
		return end > offset
	}
	last := g.record
	first, step := last, uint64(1)
	for first > 1 && endsBehind(first) {
		last, step = first, 2*step
		first -= min(step, first-1)
	}
	number = first + uint64(sort.Search(int(last-first), func(i int) bool { return endsBehind(first + uint64(i)) }))
	return number, err
}

// end returns the offset that follows a record.
func (k *catcher) end(ctx context.Context, shard uint32, number uint64) (uint64, error) {
	records, err := k.source.Records(ctx, shard, number, 1)
	if err != nil {
		return 0, err
	}
	if len(records) == 0 {
		return 0, unreadable(shard, number)
	}
	return records[0].NextOffset(), nil
}

func unreadable(shard uint32, number uint64) error {
	return fmt.Errorf("%w: shard %d: record %d was committed and is not there", journal.ErrCorrupt, shard, number)
}
