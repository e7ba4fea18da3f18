package entity_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal/cassandra"
	"github.com/skerryhq/skerry/journal/cassandra/launch"
)

const partShards = 24

// Each part of the journal is on one of three nodes only, and one of them freezes. The shards whose logs are on the
// others go on, although pages of some of their entities are on the frozen one.
func nodesWithParts(t *testing.T, cluster *launch.Cluster) {
	cfg := cassandra.Config{
		Hosts: cluster.Hosts(), Keyspace: "parts", Development: true, Timeout: 500 * time.Millisecond,
		Replication: "{'class': 'SimpleStrategy', 'replication_factor': 1}", Logger: slog.New(slog.DiscardHandler),
	}
	j, err := cassandra.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }() // after the host
	h := startHost(t, j, func(c *entity.Config) { c.Shards, c.MaxAppends = partShards, 8 })
	p := &parts{t: t, host: h, book: newAnswerBook(), ids: idsByShard(h)}
	ctx, giveUp := context.WithTimeout(t.Context(), 2*nodesPatience)
	defer giveUp()
	var callers sync.WaitGroup
	for shard := range partShards {
		callers.Go(func() { p.caller(ctx, shard) })
	}
	p.await(ctx, "three nodes", 20, partShards)
	if err := cluster.Nodes[1].Pause(); err != nil {
		t.Error(err)
	}
	p.await(ctx, "one is frozen", 100, 4)
	p.awaitLate(ctx)
	p.await(ctx, "pages on it are late", 100, 4)
	if err := cluster.Nodes[1].Resume(); err != nil {
		t.Error(err)
	}
	p.await(ctx, "three nodes again", 20, partShards)
	p.over.Store(true)
	callers.Wait()
	stopHost(t, h)
	p.book.compare(t.Context(), j, partShards)
	for _, wrong := range p.book.wrong {
		t.Error(wrong)
	}
}

// parts is a host, and a caller for each of its shards.
type parts struct {
	t    *testing.T
	host *entity.Host
	book *answerBook
	ids  [partShards][]string
	over atomic.Bool
	done [partShards]atomic.Int64
}

// idsByShard finds a few entities of each shard.
func idsByShard(h *entity.Host) (ids [partShards][]string) {
	const each = 4
	for n, found := 0, 0; found < each*partShards; n++ {
		if s := h.ShardOf("tally", fmt.Sprint(n)); len(ids[s]) < each {
			ids[s] = append(ids[s], fmt.Sprint(n))
			found++
		}
	}
	return ids
}

// caller sends commands to the entities of a shard, each until it has a final answer.
func (p *parts) caller(ctx context.Context, shard int) {
	for n := 0; !p.over.Load() && ctx.Err() == nil; n++ {
		id, key := p.ids[shard][n%len(p.ids[shard])], fmt.Sprint(shard, "/", n)
		for ctx.Err() == nil {
			got, err := addTo.Ask(ctx, tallies.Ref(p.host, id), wrapperspb.Int64(1), entity.Key(key))
			p.book.count(err)
			p.book.hear(key, id, got.GetValue(), err)
			if err == nil {
				p.done[shard].Add(1)
				break
			}
			if !errors.Is(err, entity.ErrUnavailable) && !errors.Is(err, entity.ErrUnknownOutcome) {
				p.t.Errorf("%s: %v", key, err)
			}
		}
	}
}

// awaitLate waits until pages on the frozen node fell behind in shards whose logs are elsewhere.
func (p *parts) awaitLate(ctx context.Context) {
	for {
		shards, err := p.host.Shards(ctx)
		late := 0
		for _, s := range shards {
			late += s.Behind
		}
		if late > 0 {
			p.t.Logf("%d entities are behind the flush position", late)
			return
		}
		select {
		case <-ctx.Done():
			p.t.Errorf("no entity falls behind the others: %v", err)
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// await waits until so many shards have answered so many more commands each.
func (p *parts) await(ctx context.Context, when string, commands int64, shards int) {
	var from [partShards]int64
	for i := range from {
		from[i] = p.done[i].Load()
	}
	for {
		ahead, still := 0, 0
		for i := range from {
			switch done := p.done[i].Load() - from[i]; {
			case done >= commands:
				ahead++
			case done <= 1:
				still++
			}
		}
		if ahead >= shards {
			p.t.Logf("%s: %d shards have answered %d more commands, %d stand still; attempts %+v", when, ahead, commands, still, p.book.attempts)
			return
		}
		select {
		case <-ctx.Done():
			p.t.Errorf("%s: only %d shards have answered %d more commands, %d stand still", when, ahead, commands, still)
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}
