package cluster_test

import (
	"fmt"
	"sync"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// reader follows the logs of all shards through the feed of one process, as a processor does.
type reader struct {
	p      *process
	signal chan struct{}

	mu    sync.Mutex
	heard map[uint32]bool
	seen  [][]journal.Batch // by shard: what was read, from record 1
}

func startReader(p *process) *reader {
	r := &reader{p: p, signal: make(chan struct{}, 1), heard: map[uint32]bool{}, seen: make([][]journal.Batch, p.a.plan.Shards)}
	p.work.Go(r.run)
	return r
}

// readPause is the wait after a reading that failed.
const readPause = 200 * time.Millisecond

func (r *reader) run() {
	defer r.p.node.Feed().Watch(r.hear)()
	for {
		select {
		case <-r.signal:
		case <-r.p.ctx.Done():
			return
		}
		for number := range r.take() {
			r.readOn(number)
		}
	}
}

func (r *reader) hear(number uint32) {
	r.mu.Lock()
	r.heard[number] = true
	r.mu.Unlock()
	select {
	case r.signal <- struct{}{}:
	default:
	}
}

func (r *reader) take() map[uint32]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	heard := r.heard
	r.heard = map[uint32]bool{}
	return heard
}

// readOn reads a log up to the newest record that the process knows of.
func (r *reader) readOn(number uint32) {
	feed := r.p.node.Feed()
	for head, _ := feed.Head(number); r.reached(number) < head.Number; {
		from := r.reached(number) + 1
		found, err := feed.Records(r.p.ctx, number, from, 1<<16)
		if r.p.ctx.Err() != nil {
			return
		}
		if err != nil {
			time.AfterFunc(readPause, func() { r.hear(number) })
			return
		}
		if len(found) == 0 {
			r.p.a.complain("the feed of %s says that shard %d ends with record %d, and has no record %d", r.p.node.Incarnation(), number, head.Number, from)
			return
		}
		r.accept(number, found)
	}
}

func (r *reader) reached(number uint32) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return uint64(len(r.seen[number]))
}

func (r *reader) accept(number uint32, found []journal.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.p.a.defects.feed(found) {
		if want := uint64(len(r.seen[number])) + 1; x.Number != want {
			r.p.a.complain("the feed of %s has record %d of shard %d where %d is due", r.p.node.Incarnation(), x.Number, number, want)
		}
		r.seen[number] = append(r.seen[number], x.Batch)
	}
}

// behind tells which records of the logs the reader has not seen.
func (r *reader) behind(logs [][]journal.Record) (missing []string) {
	for number, log := range logs {
		if seen := r.reached(uint32(number)); seen < uint64(len(log)) { //nolint:gosec // few shards
			head, serves := r.p.node.Feed().Head(uint32(number)) //nolint:gosec // as above
			missing = append(missing, fmt.Sprintf("%s has seen %d of the %d of shard %d, its feed's head is %d (serves: %t)",
				r.p.slot.name, seen, len(log), number, head.Number, serves))
		}
	}
	return missing
}

// compare holds what was read against the logs.
func (r *reader) compare(logs [][]journal.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for number, log := range logs {
		for i, batch := range r.seen[number] {
			if i >= len(log) || log[i].Batch != batch {
				r.p.a.complain("the feed of %s had another record %d of shard %d than the log", r.p.node.Incarnation(), i+1, number)
				break
			}
		}
	}
}
