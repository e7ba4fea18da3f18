package cassandra

import (
	"context"
	"errors"
	"maps"
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
	of     journal.Entity // whose pages they are, if they are pages
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
	var behind *journal.BehindError
	switch {
	case errors.As(err, &behind):
		behind.Err = failure(behind.Err, "write pages of shard %d", d.Shard)
		s.noted(hours) // all but these pages is written
		return behind
	case err != nil:
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

func (g *groups) add(key []byte, w write) { g.addPage(key, journal.Entity{}, w) }

// addPage adds a write of an entity's page.
func (g *groups) addPage(key []byte, of journal.Entity, w write) {
	if g.at == nil {
		g.at = map[string]*group{}
	}
	x := g.at[string(key)]
	if x == nil {
		x = &group{key: key, of: of}
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
	var running sync.WaitGroup
	var failed failures
	for _, x := range all {
		for part := range x.parts() {
			if failed.hopeless() || failed.note(journal.Entity{}, j.take(ctx)) {
				running.Wait()
				return failed.err()
			}
			running.Go(func() {
				defer func() { <-j.slots }()
				failed.note(x.of, j.write(ctx, x.key, part, x.stamp))
			})
		}
	}
	running.Wait()
	return failed.err()
}

// failures is what of many writes failed.
type failures struct {
	mu       sync.Mutex
	first    error
	entities map[journal.Entity]bool // whose pages failed
	count    int
	general  bool // something else failed, too
}

// mostFailures is how many failed writes make the rest hopeless: each may take the time of a timeout.
const mostFailures = 64

// note takes in what came of a write, and reports whether it failed.
func (f *failures) note(of journal.Entity, err error) bool {
	if err == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.first == nil {
		f.first, f.entities = err, map[journal.Entity]bool{}
	}
	f.count++
	if of == (journal.Entity{}) {
		f.general = true
	}
	f.entities[of] = true
	return true
}

// hopeless tells that it is of no use to go on.
func (f *failures) hopeless() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count >= mostFailures {
		f.general = true
	}
	return f.general
}

// err is nil, a *journal.BehindError if only pages failed and all else was tried, or what failed first.
func (f *failures) err() error {
	if f.first == nil || f.general {
		return f.first
	}
	return &journal.BehindError{Entities: slices.Collect(maps.Keys(f.entities)), Err: f.first}
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
