package readside

import (
	"context"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// Source is the logs that processors follow; an [entity.Feed] meets it. Only committed records
// are ever seen through it. All methods may be called concurrently.
type Source interface {
	// History identifies the life of the journal; a restore changes it.
	History() string
	// Shards is how many logs there are; they are numbered from 0.
	Shards() int
	// Types are the definitions by which stored events are read.
	Types() []entity.Definition
	// Head returns the newest record of a shard that is known to be committed, and whether this
	// node serves the shard: processors run beside its owner.
	Head(shard uint32) (head journal.Header, serves bool)
	// Records returns committed records in order, beginning with number from: at least one
	// if that one is committed, and no more than about maxBytes.
	Records(ctx context.Context, shard uint32, from uint64, maxBytes int) ([]journal.Record, error)
	// Watch calls changed after each change of what Head returns, until stop is called.
	// Calls may overlap; changed returns at once.
	Watch(changed func(shard uint32)) (stop func())
}

var _ Source = (*entity.Feed)(nil)
