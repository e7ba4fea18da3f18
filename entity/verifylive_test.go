package entity_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/archive"
	"github.com/skerryhq/skerry/journal/cassandra"
)

// Callers drop coins into few jars, whose timers are armed and cancelled all the time, while the journal is checked
// again and again.
func TestVerifyOnCassandraWhileAHostServes(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a Cassandra node takes ten seconds")
	}
	const callers, entities, checks = 24, 6, 3
	cfg := cassandra.Config{
		Hosts: cassandraNode.Hosts(t), Keyspace: fmt.Sprintf("live_%d", time.Now().UnixNano()),
		Development: true, BucketBytes: longBucket, Logger: slog.New(slog.DiscardHandler),
	}
	t.Cleanup(func() {
		if err := cassandra.DropKeyspace(context.WithoutCancel(t.Context()), cfg); err != nil {
			t.Error(err)
		}
	})
	open := func() *cassandra.Journal {
		j, err := cassandra.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = j.Close() })
		return j
	}
	host := startHost(t, open(), func(c *entity.Config) { c.Types, c.Shards = []entity.Definition{jars}, 2 })
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var load sync.WaitGroup
	for caller := range callers {
		load.Go(func() {
			for n := int64(1); ctx.Err() == nil; n++ {
				_, err := drop.Ask(ctx, jars.Ref(host, jarNamed(caller%entities)), wrapperspb.Int64(n))
				isSlow := errors.Is(err, entity.ErrUnknownOutcome) || errors.Is(err, entity.ErrUnavailable)
				if err != nil && ctx.Err() == nil && !isSlow {
					t.Error(err)
					return
				}
			}
		})
	}
	other := open()
	for range checks {
		report, err := archive.Verify(t.Context(), archive.VerifyConfig{Journal: &overtaken{Journal: other, t: t, host: host}})
		if err != nil || len(report.Findings) > 0 || len(report.Unchecked) > 0 || report.Pages == 0 {
			t.Errorf("%+v, %v", report, err)
			break
		}
		t.Logf("%d events, %d pages, %d timers", report.Events, report.Pages, report.Timers)
	}
	stop()
	load.Wait()
}

// overtaken is a journal whose host is ahead of whoever checks it: before the first page of a check is read, pages
// are written of more than the logs held when they were read.
type overtaken struct {
	*cassandra.Journal
	t    *testing.T
	host *entity.Host
	once sync.Once
}

func (o *overtaken) Pages(ctx context.Context, of journal.Entity, after uint64, visit func(journal.Page) error) error {
	o.once.Do(func() {
		read := o.shards(ctx)
		eventually(o.t, "pages are ahead of what was read", func() bool {
			now := o.shards(ctx)
			for i := range now {
				if now[i].Flushed <= read[i].Head {
					return false
				}
			}
			return true
		})
	})
	return o.Journal.Pages(ctx, of, after, visit)
}

func (o *overtaken) shards(ctx context.Context) []entity.ShardInfo {
	shards, err := o.host.Shards(ctx)
	if err != nil {
		o.t.Error(err)
	}
	return shards
}
