package cluster

import (
	"context"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// Source is the logs as processors follow them. It differs from [Feed] in what it takes for the end of a log: a processor
// that has a shard anew may find its rows beyond what this node has heard of, because another node wrote, and
// followed, a moment ago. So where nothing more is known here, the journal is asked.
type Source struct {
	logs
	journal journal.Log
}

// logs is what a Feed offers, this node's or the cluster's.
type logs interface {
	History() string
	Shards() int
	Types() []entity.Definition
	Head(shard uint32) (head journal.Header, serves bool)
	Records(ctx context.Context, shard uint32, from uint64, maxBytes int) ([]journal.Record, error)
	Watch(changed func(shard uint32)) (stop func())
}

// Own is for processors that run beside the shards' owners: it knows of the shards that this node serves.
func (n *Node) Own() *Source { return &Source{n.host.Feed(), n.cfg.Host.Journal} }

// All is for processors that follow shards which other nodes serve.
func (n *Node) All() *Source { return &Source{n.feed, n.cfg.Host.Journal} }

// Records returns committed records of a shard in order, beginning with number from; none only if the
// journal holds no such record.
func (s *Source) Records(ctx context.Context, shard uint32, from uint64, maxBytes int) ([]journal.Record, error) {
	found, err := s.logs.Records(ctx, shard, from, maxBytes)
	if err != nil || len(found) > 0 {
		return found, err
	}
	return s.journal.Read(ctx, shard, from, maxBytes)
}
