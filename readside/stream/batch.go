package stream

import (
	"slices"

	"github.com/skerryhq/skerry/journal"
)

// batch is what is delivered at once: the rendered events of some commands, never of a part of
// one. It is shared by all clients and never changes once it is published.
type batch struct {
	// seq numbers the batches of a hub.
	seq       uint64
	fragments []fragment
	// moves holds, per shard, the offset of the newest event that the batch considered.
	moves []journal.ShardOffset
	// topics are those of the fragments, each once. everyone: one fragment has none.
	topics   []string
	everyone bool
	// bytes is roughly what the batch takes in memory.
	bytes int
	// id is the hub's position behind the batch.
	id string
}

// fragment is a Fragment as it is sent.
type fragment struct {
	shard  uint32
	offset uint64
	list   int
	topic  string
	json   string
}

// fragmentBytes is what a fragment takes beside its JSON, roughly.
const fragmentBytes = 96

// add takes in a command. All those of one shard are added in a row.
func (b *batch) add(shard uint32, c command) {
	if n := len(b.moves); n > 0 && b.moves[n-1].Shard == shard {
		b.moves[n-1].Offset = c.last
	} else {
		b.moves = append(b.moves, journal.ShardOffset{Shard: shard, Offset: c.last})
	}
	for _, f := range c.fragments {
		b.bytes += len(f.json) + len(f.topic) + fragmentBytes
		b.topic(f.topic)
	}
	b.fragments = append(b.fragments, c.fragments...)
}

func (b *batch) topic(topic string) {
	switch {
	case topic == "":
		b.everyone = true
	case !slices.Contains(b.topics, topic):
		b.topics = append(b.topics, topic)
	}
}

// full tells that no more commands are to be added.
func (b *batch) full() bool { return b.bytes >= maxMessageBytes || len(b.fragments) >= maxFragments }

// maxFragments is when a batch is full, however small its fragments are.
const maxFragments = 512
