package stream

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// hub follows the logs of all shards, renders each event once, and hands it to the clients. One
// goroutine does so; it lives as long as there are clients.
type hub struct {
	source Source
	render *renderer
	log    *slog.Logger
	keep   int // bytes of batches kept
	cancel context.CancelFunc
	done   chan struct{}

	// Of the goroutine alone.
	stored  entity.StoredReader
	gather  *batch
	changed dirty
	unwatch func()

	mu sync.Mutex
	// at is how far clients were told of; next is the number of each shard's next record.
	at   position
	next []uint64
	// kept are the newest batches; of each shard, they have all events after its floor.
	kept      []*batch
	keptBytes int
	floor     position
	seq       uint64
	text      string        // at as a token, if it was needed since it changed
	moved     chan struct{} // closed when at changes, if somebody waits
	everyone  map[*client]struct{}
	topics    map[string]map[*client]struct{}
}

// startHub begins with the newest record of each shard.
func startHub(cfg Config, render *renderer) *hub {
	shards := cfg.Source.Shards()
	ctx, cancel := context.WithCancel(context.Background())
	h := &hub{
		source: cfg.Source, render: render, log: cfg.Logger, keep: cfg.KeepBytes,
		cancel: cancel, done: make(chan struct{}), gather: &batch{},
		changed: dirty{marked: make([]bool, shards), wake: make(chan struct{}, 1)},
		at:      make(position, shards), next: make([]uint64, shards),
		everyone: map[*client]struct{}{}, topics: map[string]map[*client]struct{}{},
	}
	h.unwatch = cfg.Source.Watch(h.changed.mark) // before the heads are read, so that no change is missed
	for shard := range uint32(shards) {
		head, _ := cfg.Source.Head(shard)
		h.at[shard], h.next[shard] = head.NextOffset()-1, head.Number+1
	}
	h.floor = slices.Clone(h.at)
	go h.run(ctx)
	return h
}

// stop ends the hub and waits for it.
func (h *hub) stop() {
	h.unwatch()
	h.cancel()
	<-h.done
}

func (h *hub) run(ctx context.Context) {
	defer close(h.done)
	again := time.NewTimer(readAgainAfter)
	defer again.Stop()
	again.Stop()
	var failed []uint32 // they wait for again
	for ctx.Err() == nil {
		for _, shard := range h.changed.take() {
			if slices.Contains(failed, shard) || h.follows(ctx, shard) {
				continue
			}
			if len(failed) == 0 {
				again.Reset(readAgainAfter)
			}
			failed = append(failed, shard)
		}
		h.publish()
		select {
		case <-h.changed.wake:
		case <-again.C:
			for _, shard := range failed {
				h.changed.mark(shard)
			}
			failed = nil
		case <-ctx.Done():
		}
	}
}

// follows takes in what is new in a shard; false if that is to be tried again.
func (h *hub) follows(ctx context.Context, shard uint32) bool {
	err := h.follow(ctx, shard)
	if err == nil || ctx.Err() != nil {
		return true
	}
	h.log.Error("the stream cannot read a log and tries again", "shard", shard, "in", readAgainAfter, "err", err)
	return false
}

func (h *hub) follow(ctx context.Context, shard uint32) error {
	for {
		records, err := h.source.Records(ctx, shard, h.next[shard], readBytes)
		if err != nil || len(records) == 0 {
			return err
		}
		for _, rec := range records {
			if err := h.take(shard, rec); err != nil {
				return err
			}
		}
	}
}

func (h *hub) take(shard uint32, rec journal.Record) error {
	if rec.Number != h.next[shard] {
		return fmt.Errorf("%w: shard %d: record %d came where %d is next", journal.ErrCorrupt, shard, rec.Number, h.next[shard])
	}
	commands, err := h.render.record(&h.stored, shard, rec)
	if err != nil {
		return err
	}
	for _, c := range commands {
		h.gather.add(shard, c)
		if h.gather.full() {
			h.publish()
		}
	}
	h.mu.Lock()
	h.next[shard]++
	h.mu.Unlock()
	return nil
}

// publish hands the gathered batch to the clients.
func (h *hub) publish() {
	b := h.gather
	if len(b.moves) == 0 {
		return
	}
	h.gather = &batch{}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at.move(b.moves)
	h.text = ""
	if h.moved != nil {
		close(h.moved)
		h.moved = nil
	}
	if len(b.fragments) > 0 {
		h.seq++
		b.seq, b.id = h.seq, h.token()
		b.bytes += len(b.id)
		h.remember(b)
		h.deliver(b)
	}
}

// token returns at as a token; the caller holds the lock.
func (h *hub) token() string {
	if h.text == "" {
		h.text = h.at.text(h.source.History())
	}
	return h.text
}

// remember keeps a batch for clients that come back, and forgets the oldest.
func (h *hub) remember(b *batch) {
	h.kept = append(h.kept, b)
	h.keptBytes += b.bytes
	n := 0
	for h.keptBytes > h.keep && n < len(h.kept) {
		h.keptBytes -= h.kept[n].bytes
		h.floor.move(h.kept[n].moves)
		n++
	}
	clear(h.kept[:n])
	h.kept = h.kept[n:]
}

// deliver queues a batch for every client that wants some of it.
func (h *hub) deliver(b *batch) {
	for c := range h.everyone {
		c.push(b)
	}
	if b.everyone {
		for _, clients := range h.topics {
			for c := range clients {
				c.push(b)
			}
		}
		return
	}
	for _, topic := range b.topics {
		for c := range h.topics[topic] {
			c.push(b)
		}
	}
}
