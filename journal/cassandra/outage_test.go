package cassandra

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/cassandra/launch"
	"github.com/skerryhq/skerry/journal/journaltest"
)

// load appends to some shards until it is ended, from one journal, and counts.
type load struct {
	stop  context.CancelFunc
	group sync.WaitGroup
	done  atomic.Int64
	all   []*contestant
}

func startLoad(t *testing.T, j journal.Log, shards int) *load {
	ctx, stop := context.WithCancel(t.Context())
	l := &load{stop: stop}
	for shard := range shards {
		c := &contestant{Chain: journaltest.Chain{Writer: "a"}, journal: j}
		l.all = append(l.all, c)
		l.group.Go(func() {
			for ctx.Err() == nil {
				if c.run(ctx, nil, uint32(shard), len(c.won)+1) == nil {
					l.done.Add(1)
				}
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) end() {
	l.stop()
	l.group.Wait()
}

// standstill is how long nothing may be appended that should be: far longer than a busy machine and the nodes need
// to notice who is gone and who is back.
const standstill = 2 * time.Minute

// goesOn waits until n more records were appended, however slowly.
func (l *load) goesOn(t *testing.T, n int64) {
	t.Helper()
	last, moved := l.done.Load(), time.Now()
	for end := last + n; last < end; {
		if err := pause(t.Context(), 10*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if now := l.done.Load(); now > last {
			last, moved = now, time.Now()
		}
		if time.Since(moved) > standstill {
			t.Fatalf("nothing was appended for %s", standstill)
		}
	}
}

// check: at most the last append of each shard is unknown, all else is as it was told.
func (l *load) check(t *testing.T, truth journal.Journal) {
	t.Helper()
	l.end()
	for shard, c := range l.all {
		records, err := readAll(t, truth, uint32(shard))
		if err != nil {
			t.Fatal(err)
		}
		if len(records) < len(c.won) || len(records) > len(c.won)+1 {
			t.Errorf("shard %d: %d records are stored, %d were answered", shard, len(records), len(c.won))
		}
		for _, h := range c.won {
			if h.Number > uint64(len(records)) || records[h.Number-1].Header != h {
				t.Errorf("shard %d: record %d was answered as stored and is not there", shard, h.Number)
			}
		}
	}
}

// mayDieAndFreeze does both to the only node that takes part in agreement, under load.
func mayDieAndFreeze(t *testing.T, n *launch.Node, j *Journal) {
	t.Helper()
	l := startLoad(t, j, 4)
	l.goesOn(t, 200)
	if err := n.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := quiet(within(t), l); err != nil {
		t.Errorf("the node is frozen, and appends go on: %v", err)
	}
	if err := n.Resume(); err != nil {
		t.Fatal(err)
	}
	l.goesOn(t, 200)
	n.Kill()
	if _, err := j.Head(within(t), 0); err == nil {
		t.Error("a dead node answers")
	}
	if err := n.Restart(within(t)); err != nil {
		t.Fatal(err)
	}
	l.goesOn(t, 200)
	l.check(t, j)
}

func TestThreeNodesGoOnWithoutOne(t *testing.T) {
	launch.Long(t)
	cluster := launch.ForTest(t, launch.Config{Nodes: 3, SyncCommits: true, HeapMiB: 384})
	cfg := Config{Hosts: cluster.Hosts(), Keyspace: newKeyspace(), Replication: replicate(3), BucketBytes: 20000}
	wantOneSchema(t, cfg)
	j := opened(t, cfg)
	l := startLoad(t, j, 6)
	l.goesOn(t, 200)

	cluster.Nodes[1].Kill()
	l.goesOn(t, 200)
	cluster.Nodes[2].Kill()
	if err := quiet(within(t), l); err != nil {
		t.Errorf("two of three nodes are dead, and appends go on: %v", err)
	}
	for _, n := range cluster.Nodes[1:] {
		if err := n.Restart(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	l.goesOn(t, 200)
	if err := cluster.Nodes[0].Pause(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	l.goesOn(t, 50)
	t.Logf("50 appends after a node froze: %s", time.Since(began).Round(time.Millisecond))
	if err := cluster.Nodes[0].Resume(); err != nil {
		t.Fatal(err)
	}
	l.goesOn(t, 200)
	l.check(t, j)
}

// quiet waits until two looks, more than a timeout apart, see no progress.
func quiet(ctx context.Context, l *load) error {
	for {
		before := l.done.Load()
		if err := pause(ctx, 3*defaultTimeout); err != nil {
			return err
		}
		if l.done.Load() == before {
			return nil
		}
	}
}
