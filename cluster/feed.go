package cluster

import (
	"context"
	"sync"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// Feed lets readers on this node follow the logs of all shards of the cluster: those of this node as
// [entity.Feed] does, those of others by what their owners tell. Without a watcher nothing is asked of anybody, and
// what Head returns of others' shards is old; the journal is read for it. All methods may be called concurrently.
type Feed struct {
	*entity.Feed
	node *Node

	mu       sync.Mutex
	watchers map[int]func(uint32)
	next     int
	heads    []journal.Header // of shards that others serve
	heard    []int64          // when the node last heard of them, by its clock; 0 is never
	listener *listener        // nil if nobody watches
}

func newFeed(own *entity.Feed, n *Node) *Feed {
	return &Feed{
		Feed: own, node: n, watchers: map[int]func(uint32){},
		heads: make([]journal.Header, own.Shards()), heard: make([]int64, own.Shards()),
	}
}

// Feed returns the logs of all shards as readers on this node see them.
func (n *Node) Feed() *Feed { return n.feed }

// Head is the newest record of a shard that this node knows to be committed, and whether this node serves the shard.
func (f *Feed) Head(number uint32) (journal.Header, bool) {
	head, serves := f.Feed.Head(number)
	if serves {
		return head, true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if told := f.heads[number]; told.Number > head.Number {
		head = told
	}
	return head, false
}

// Records returns committed records of a shard: from memory where this node serves it, from its owner's memory
// where that has them, else from the journal.
func (f *Feed) Records(ctx context.Context, number uint32, from uint64, maxBytes int) ([]journal.Record, error) {
	if _, serves := f.Feed.Head(number); serves {
		return f.Feed.Records(ctx, number, from, maxBytes)
	}
	if f.isEnd(number, from) {
		return nil, nil
	}
	if found := f.node.recordsOf(ctx, number, from, maxBytes); len(found) > 0 {
		return found, nil
	}
	f.mu.Lock()
	told := f.heads[number]
	f.mu.Unlock()
	found, err := f.node.cfg.Host.Journal.Read(ctx, number, from, maxBytes)
	if err != nil || len(found) > 0 || from > told.Number {
		return found, err
	}
	return nil, f.correct(ctx, number, told)
}

// correct takes back a head that was told of records which the log does not have. With it, what the log gets next would
// not be news.
func (f *Feed) correct(ctx context.Context, number uint32, wrong journal.Header) error {
	head, err := f.end(ctx, number, journal.Header{})
	if err != nil {
		return err
	}
	f.node.log.Warn("a shard's log ends before the record that was told to be its last", "shard", number, "told", wrong.Number, "last", head.Number)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.heads[number] == wrong {
		f.heads[number] = head
	}
	return nil
}

// end returns the newest record of a log, after one that is known.
func (f *Feed) end(ctx context.Context, number uint32, known journal.Header) (journal.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, rowPatience)
	defer cancel()
	log := f.node.cfg.Host.Journal
	if known.Number == 0 {
		hint, err := log.Head(ctx, number)
		if err != nil {
			return known, err
		}
		known = hint.Last
	}
	for {
		found, err := log.Read(ctx, number, known.Number+1, unheardBytes)
		if err != nil || len(found) == 0 {
			return known, err
		}
		known = found[len(found)-1].Header
	}
}

// isEnd tells, without asking anybody, that a log ends before a record as far as is known here; a watcher hears of more.
func (f *Feed) isEnd(number uint32, from uint64) bool {
	head, _ := f.Head(number) // perhaps of the time when this node served the shard
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.listener != nil && head.Number > 0 && from > head.Number
}

// Watch calls changed after each change of what Head returns, until stop is called. Calls may overlap, and changed
// must return at once. The first watcher waits until other nodes have told how far their shards are, and the journal
// where they do not, for 3 s at most: what was committed before Watch was called is then below Head.
func (f *Feed) Watch(changed func(number uint32)) (stop func()) {
	stopOwn := f.Feed.Watch(changed)
	f.mu.Lock()
	id := f.next
	f.next++
	f.watchers[id] = changed
	if f.listener == nil {
		f.listener = startListener(f)
	}
	l := f.listener
	f.mu.Unlock()
	l.await()
	return func() {
		stopOwn()
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers, id)
		if len(f.watchers) == 0 && f.listener != nil {
			f.listener.cancel()
			f.listener = nil
		}
	}
}

// look has the listener, if there is one, see who the members are now.
func (f *Feed) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listener != nil {
		f.listener.look()
	}
}

// told takes in how far shards of another process have come. What others say of a shard whose owner is known is passed over.
func (f *Feed) told(by string, heads []*wirev1.Head) {
	for _, h := range heads {
		header, err := journal.ParseHeader(h.GetHeader())
		if err != nil || int(h.GetShard()) >= f.Shards() {
			continue // of a release that we cannot read: the listener looks into the journal
		}
		if f.believes(by, h.GetShard(), header.Epoch) {
			f.raise(h.GetShard(), header)
		}
	}
}

// believes tells whether a process may know how far a shard has come: a member that is its owner, as far as is known here, or who
// writes to it by a later claim than the one known. Where the owner is not known any member may be it.
func (f *Feed) believes(by string, number uint32, epoch uint64) bool {
	if _, member := f.node.routes.peer(by); !member {
		return false
	}
	known := f.node.routes.owner(number)
	if _, lives := f.node.routes.peer(known.owner); !lives {
		return true
	}
	return by == known.owner || epoch > known.epoch
}

// raise takes in a head, and tells the watchers if it is new.
func (f *Feed) raise(number uint32, header journal.Header) {
	f.mu.Lock()
	f.heard[number] = f.node.now()
	if header.Number <= f.heads[number].Number {
		f.mu.Unlock()
		return
	}
	f.heads[number] = header
	watchers := make([]func(uint32), 0, len(f.watchers))
	for _, w := range f.watchers {
		watchers = append(watchers, w)
	}
	f.mu.Unlock()
	for _, changed := range watchers {
		changed(number)
	}
}

// unheard returns the shards of which nobody has told since a time, with what is known of them.
func (f *Feed) unheard(since int64) map[uint32]journal.Header {
	found := map[uint32]journal.Header{}
	for number := range uint32(f.Shards()) { //nolint:gosec // a count of shards
		if _, serves := f.Feed.Head(number); serves {
			continue
		}
		f.mu.Lock()
		silent := f.heard[number] < since
		f.mu.Unlock()
		if silent {
			found[number], _ = f.Head(number)
		}
	}
	return found
}
