package entity

import (
	"context"
	"sync"

	"github.com/skerryhq/skerry/journal"
)

// Feed lets readers follow the logs of a host's shards: the newest committed
// records from memory, all others from the journal. Nothing that is not committed
// is ever seen. All methods may be called concurrently. It is good until the host stops.
type Feed struct {
	journal journal.Log
	history string
	types   []Definition
	shards  []shardFeed
	room    int // bytes of records kept per shard

	mu       sync.Mutex
	watchers []*watcher
}

type watcher struct{ changed func(shard uint32) }

// shardFeed holds the newest records of one shard: a run without gaps that ends with head.
type shardFeed struct {
	mu      sync.Mutex
	head    journal.Header
	follows bool
	kept    []journal.Record
	bytes   int
}

// feedBytes bounds the records that a node keeps in memory for its readers. Each shard has its share.
const feedBytes = 32 << 20

func newFeed(log journal.Log, history string, shards int, types []Definition) *Feed {
	return &Feed{
		journal: log, history: history, types: types, shards: make([]shardFeed, shards),
		room: feedBytes / shards,
	}
}

// Feed returns the logs of the host's shards as readers see them.
func (h *Host) Feed() *Feed { return h.feed }

// History identifies the life of the journal; a restore changes it.
func (f *Feed) History() string { return f.history }

// Shards is how many logs there are; they are numbered from 0.
func (f *Feed) Shards() int { return len(f.shards) }

// Types are the definitions of the entities whose events the logs hold.
func (f *Feed) Types() []Definition { return f.types }

// Head returns the header of the newest record of a shard that is known to be committed, and whether
// this node serves the shard: if not, another node's reader follows it.
func (f *Feed) Head(shard uint32) (head journal.Header, serves bool) {
	s := &f.shards[shard]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head, s.follows
}

// Records returns committed records of a shard in order, beginning with number from: at least one if
// that one is committed, and no more than about maxBytes. They are shared and must not be changed.
func (f *Feed) Records(ctx context.Context, shard uint32, from uint64, maxBytes int) ([]journal.Record, error) {
	if kept, ok := f.shards[shard].from(from, maxBytes); ok {
		return kept, nil
	}
	return f.journal.Read(ctx, shard, from, maxBytes)
}

// Watch calls changed after each change of what Head returns for a shard, until stop is called. It
// runs where commands are served, so it must return at once; calls may overlap.
func (f *Feed) Watch(changed func(shard uint32)) (stop func()) {
	w := &watcher{changed}
	f.mu.Lock()
	f.watchers = append(f.watchers[:len(f.watchers):len(f.watchers)], w)
	f.mu.Unlock()
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		var left []*watcher
		for _, other := range f.watchers {
			if other != w {
				left = append(left, other)
			}
		}
		f.watchers = left
	}
}

// publish takes in what a shard has committed.
func (f *Feed) publish(shard uint32, records []journal.Record) {
	if len(records) == 0 {
		return
	}
	f.shards[shard].add(records, f.room, len(f.watching()) > 0)
	f.tell(shard)
}

// watching is the watchers of now.
func (f *Feed) watching() []*watcher {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.watchers
}

// tell comes after the change: a watcher that is not in the list yet looks at Head later than that.
func (f *Feed) tell(shard uint32) {
	for _, w := range f.watching() {
		w.changed(shard)
	}
}

// follow tells whether this node serves a shard.
func (f *Feed) follow(shard uint32, serves bool) {
	s := &f.shards[shard]
	s.mu.Lock()
	s.follows = serves
	s.mu.Unlock()
	f.tell(shard)
}

// add takes in records. Without readers none is kept: only the head moves.
func (s *shardFeed) add(records []journal.Record, room int, keep bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		if len(s.kept) > 0 && r.Number != s.head.Number+1 {
			s.kept, s.bytes = nil, 0 // another node wrote in between
		}
		s.head = r.Header
		if keep {
			s.kept = append(s.kept, r)
			s.bytes += len(r.Body)
		}
	}
	if !keep {
		s.kept, s.bytes = nil, 0
		return
	}
	n := 0
	for s.bytes > room && n < len(s.kept) { // the newest too, if it is that large: the journal has it
		s.bytes -= len(s.kept[n].Body)
		n++
	}
	clear(s.kept[:n])
	s.kept = s.kept[n:]
}

// from returns kept records from a number on; false if they begin later.
func (s *shardFeed) from(number uint64, maxBytes int) ([]journal.Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number > s.head.Number && s.head.Number > 0 {
		return nil, true // the end, as far as it is known here
	}
	if len(s.kept) == 0 || number < s.kept[0].Number {
		return nil, false
	}
	first := int(number - s.kept[0].Number)
	end, bytes := first, 0
	for end < len(s.kept) && (end == first || bytes+len(s.kept[end].Body) <= maxBytes) {
		bytes += len(s.kept[end].Body)
		end++
	}
	return append([]journal.Record(nil), s.kept[first:end]...), true
}
