package cassandra

import (
	"context"
	"slices"
	"sync"

	"github.com/gocql/gocql"

	"github.com/skerryhq/skerry/journal"
)

// write is one plain row, or the removal of one.
type write struct {
	statement string
	values    []any
	bytes     int
}

// group is the writes of one partition, which may share a batch.
type group struct {
	key    []byte
	writes []write
	stamp  int64
}

// Limits of one batch. Cassandra applies a batch of one partition as one mutation.
const (
	maxBatchWrites = 100
	maxBatchBytes  = 128 << 10
)

// Derive implements journal.Store. It returns when all is written at QUORUM. Arms
// are stamped before disarms, and both before those of later calls.
func (j *Journal) Derive(ctx context.Context, d journal.Derived) error {
	if err := d.Check(); err != nil {
		return err
	}
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.calls.Done()
	s := j.shard(d.Shard)
	pages, err := pageWrites(d)
	if err != nil {
		return err
	}
	hours := s.newHours(d.Arms)
	arms, disarms := j.stamp(), j.stamp()
	err = j.writeAll(ctx, slices.Concat(
		pages.stamped(arms),
		hourWrites(d.Shard, hours).stamped(arms),
		timerWrites(d.Shard, d.Arms, insertTimer).stamped(arms),
		timerWrites(d.Shard, d.Disarms, deleteTimer).stamped(disarms),
	))
	if err != nil {
		return failure(err, "write what is derived from shard %d", d.Shard)
	}
	s.noted(hours)
	j.removeHours(ctx, s)
	return nil
}

// groups gathers writes by partition, in the order in which partitions come.
type groups struct {
	list []*group
	at   map[string]*group
}

func (g *groups) add(key []byte, w write) {
	if g.at == nil {
		g.at = map[string]*group{}
	}
	x := g.at[string(key)]
	if x == nil {
		x = &group{key: key}
		g.at[string(key)] = x
		g.list = append(g.list, x)
	}
	x.writes = append(x.writes, w)
}

// stamped gives all groups a timestamp.
func (g *groups) stamped(stamp int64) []*group {
	for _, x := range g.list {
		x.stamp = stamp
	}
	return g.list
}

// writeAll writes all groups, as many at once as the journal's limit lets it, and
// returns when none is under way.
func (j *Journal) writeAll(ctx context.Context, all []*group) error {
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		first   error
	)
	failed := func(err error) bool {
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = err
		}
		return first != nil
	}
	for _, x := range all {
		for part := range x.parts() {
			if failed(j.take(ctx)) {
				running.Wait()
				return first
			}
			running.Go(func() {
				defer func() { <-j.slots }()
				failed(j.write(ctx, x.key, part, x.stamp))
			})
		}
	}
	running.Wait()
	return first
}

// take waits for one of the slots for derived writes.
func (j *Journal) take(ctx context.Context) error {
	select {
	case j.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// parts cuts the group into batches within the limits.
func (x *group) parts() func(yield func([]write) bool) {
	return func(yield func([]write) bool) {
		for from := 0; from < len(x.writes); {
			to, size := from, 0
			for to < len(x.writes) && to-from < maxBatchWrites && (to == from || size+x.writes[to].bytes <= maxBatchBytes) {
				size += x.writes[to].bytes
				to++
			}
			if !yield(x.writes[from:to]) {
				return
			}
			from = to
		}
	}
}

// write writes rows of one partition.
func (j *Journal) write(ctx context.Context, key []byte, rows []write, stamp int64) error {
	if len(rows) == 1 {
		return j.query(ctx, rows[0].statement, rows[0].values...).RoutingKey(key).WithTimestamp(stamp).Exec()
	}
	batch := j.session.NewBatch(gocql.UnloggedBatch).WithContext(ctx).WithTimestamp(stamp)
	batch.SetConsistency(j.cfg.quorum())
	for _, w := range rows {
		batch.Query(w.statement, w.values...)
	}
	return j.session.ExecuteBatch(batch)
}
