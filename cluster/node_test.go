package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/cluster/gossip"
	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

var (
	add = entity.On(func(s int64, c entity.Command[*wrapperspb.Int64Value]) (entity.Effect, *wrapperspb.Int64Value, error) {
		return entity.Persist(c.Msg), wrapperspb.Int64(s + c.Msg.GetValue()), nil
	})
	sum = entity.Query(func(s int64, _ entity.Command[*emptypb.Empty]) (*wrapperspb.Int64Value, error) {
		return wrapperspb.Int64(s), nil
	})
	counters = entity.Define[int64]("counter", add, sum,
		entity.Apply(func(s int64, e *wrapperspb.Int64Value) int64 { return s + e.GetValue() }))
)

// world is nodes of one process on one journal.
type world struct {
	t       *testing.T
	journal journal.Journal
	shards  int
	seeds   []string
}

func (w *world) start(name string) *cluster.Node {
	w.t.Helper()
	n, err := cluster.Start(w.t.Context(), cluster.Config{
		Name: name, Seeds: w.seeds,
		Host: entity.Config{Journal: w.journal, Types: []entity.Definition{counters}, Shards: w.shards},
		Gossip: func(id cluster.Identity, self cluster.Member) (cluster.Gossip, error) {
			g, err := gossip.Start(gossip.Config{Identity: id, Self: self})
			if err == nil {
				w.seeds = append(w.seeds, g.Address())
			}
			return g, err
		},
		Transport: func(cfg transport.Config) (transport.Transport, error) {
			return transport.Listen(cfg)
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { stopNode(w.t, n) })
	return n
}

// patience bounds what nodes are waited for: a defect, not a machine that is slow, makes them wait so long.
const patience = 3 * time.Minute

func stopNode(t *testing.T, n *cluster.Node) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// load adds to counters through nodes that it is told, until it is stopped, and counts what was acknowledged.
type load struct {
	t     *testing.T
	added [16]atomic.Int64
	nodes atomic.Pointer[[]*cluster.Node]
	stop  atomic.Bool
	work  sync.WaitGroup
	worst atomic.Int64
}

func startLoad(t *testing.T, callers int, nodes ...*cluster.Node) *load {
	l := &load{t: t}
	l.through(nodes...)
	for c := range callers {
		l.work.Go(func() {
			for i := 0; !l.stop.Load(); i++ {
				l.one(c, i)
			}
		})
	}
	return l
}

func (l *load) through(nodes ...*cluster.Node) { l.nodes.Store(&nodes) }

func (l *load) one(c, i int) {
	nodes := *l.nodes.Load()
	n := nodes[(c+i)%len(nodes)]
	e := (c*7 + i) % len(l.added)
	began := time.Now()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience) // how soon it must be, clusters on fake time show
	defer cancel()
	_, err := add.Ask(ctx, counters.Ref(n, fmt.Sprint("c", e)), wrapperspb.Int64(1))
	for took := int64(time.Since(began)); ; {
		if old := l.worst.Load(); took <= old || l.worst.CompareAndSwap(old, took) {
			break
		}
	}
	if err != nil {
		l.t.Errorf("caller %d: %v", c, err)
		l.stop.Store(true)
		return
	}
	l.added[e].Add(1)
}

// end stops the load and compares what was acknowledged with what the entities hold.
func (l *load) end(n *cluster.Node) {
	l.t.Helper()
	l.stop.Store(true)
	l.work.Wait()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	var total int64
	for e := range l.added {
		got, err := sum.Ask(ctx, counters.Ref(n, fmt.Sprint("c", e)), &emptypb.Empty{})
		if err != nil {
			l.t.Error(err)
			continue
		}
		total += got.GetValue()
		if want := l.added[e].Load(); got.GetValue() != want {
			l.t.Errorf("counter %d holds %d, callers were told of %d", e, got.GetValue(), want)
		}
	}
	l.t.Logf("%d commands, the longest took %v", total, time.Duration(l.worst.Load()))
}

// awaitOwners waits until each shard is served by one of the nodes, and returns how many each has.
func awaitOwners(t *testing.T, shards int, nodes ...*cluster.Node) []int {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		counts, all := make([]int, len(nodes)), 0
		for i, n := range nodes {
			infos, err := n.Host().Shards(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range infos {
				if s.Phase == "serving" {
					counts[i]++
					all++
				}
			}
		}
		fair := true
		for _, c := range counts {
			fair = fair && c > 0
		}
		if all == shards && fair {
			return counts
		}
	}
	t.Fatal("the shards do not come to rest")
	return nil
}

func TestNodesComeAndGoUnderLoad(t *testing.T) {
	t.Parallel()
	w := &world{t: t, journal: journal.NewMemory(), shards: 32}
	a := w.start("a")
	t.Log("alone:", awaitOwners(t, w.shards, a))
	l := startLoad(t, 8, a)
	b := w.start("b")
	t.Log("two:", awaitOwners(t, w.shards, a, b))
	l.through(a, b)
	c := w.start("c")
	t.Log("three:", awaitOwners(t, w.shards, a, b, c))
	l.through(b, c)
	stopNode(t, a)
	t.Log("a has left:", awaitOwners(t, w.shards, b, c))
	l.end(b)
}

func TestShardsOfANodeThatCrashedAreServedByTheOthers(t *testing.T) {
	t.Parallel()
	w := &world{t: t, journal: journal.NewMemory(), shards: 16}
	a, b, c := w.start("a"), w.start("b"), w.start("c")
	t.Log("three:", awaitOwners(t, w.shards, a, b, c))
	l := startLoad(t, 8, b, c)
	a.Crash()
	t.Log("a has crashed:", awaitOwners(t, w.shards, b, c))
	l.end(b)
}

func TestReadersOnAnyNodeSeeTheEventsOfAllShards(t *testing.T) {
	t.Parallel()
	w := &world{t: t, journal: journal.NewMemory(), shards: 8}
	a, b := w.start("a"), w.start("b")
	awaitOwners(t, w.shards, a, b)
	readers := []*follow{startFollow(t, w, a), startFollow(t, w, b)}
	l := startLoad(t, 4, a, b)
	for _, r := range readers {
		r.readUntilHeardOf(6)
	}
	l.end(a)
	for _, r := range readers {
		r.readAll(a, b)
	}
}

func TestReadersMissNothingWhileShardsMove(t *testing.T) {
	t.Parallel()
	w := &world{t: t, journal: journal.NewMemory(), shards: 8}
	a, b := w.start("a"), w.start("b")
	awaitOwners(t, w.shards, a, b)
	r := startFollow(t, w, b)
	l := startLoad(t, 4, a, b)
	c := w.start("c")
	awaitOwners(t, w.shards, a, b, c)
	l.through(b, c)
	stopNode(t, a)
	awaitOwners(t, w.shards, b, c)
	l.end(c)
	r.readAll(b, c)
}

// A reader that begins to watch knows from the start how far all logs are: what comes next is new.
func TestAReaderBeginsAtTheEndOfAllLogs(t *testing.T) {
	t.Parallel()
	intruded(t, func(t *testing.T, _ *island, a, b *cluster.Node) { // others are waited for 3 s at most
		w := &world{shards: 8}
		l := startLoad(t, 2, a)
		r := startFollow(t, w, a)
		r.readUntilHeardOf(6)
		l.end(a)
		late := startFollow(t, w, b)
		for number := range uint32(w.shards) {
			if got, want := ends(b, number), max(ends(a, number), ends(b, number)); got != want {
				t.Errorf("shard %d is known up to record %d of %d", number, got, want)
			}
		}
		late.readAll(a, b)
	})
}

// The owner that took a command in, and told so, may be the owner no more when its turn comes.
func TestWhatWasToldIsNotLostWhenShardsMove(t *testing.T) {
	t.Parallel()
	w := &world{t: t, journal: journal.NewMemory(), shards: 8}
	a, b := w.start("a"), w.start("b")
	awaitOwners(t, w.shards, a, b)
	const tellers, each = 8, 400
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var telling sync.WaitGroup
	tickets := make([][]entity.Ticket[*wrapperspb.Int64Value], tellers)
	for i := range tellers {
		telling.Go(func() {
			for n := range each {
				ticket, err := add.Tell(ctx, counters.Ref(b, fmt.Sprint("c", n%16)), wrapperspb.Int64(1))
				if err != nil {
					t.Error(err)
					return
				}
				tickets[i] = append(tickets[i], ticket)
			}
		})
	}
	stopNode(t, a)
	telling.Wait()
	for _, told := range tickets {
		for _, ticket := range told {
			_, err := ticket.Result(ctx)
			for errors.Is(err, entity.ErrRunning) {
				_, err = ticket.Result(ctx)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// follow reads the logs of all shards on one node.
type follow struct {
	t      *testing.T
	node   *cluster.Node
	shards int
	heard  []chan struct{}   // by shard: holds something when that was told of
	any    chan struct{}     // when one of them does
	seen   map[uint32]uint64 // records read, by shard
}

func startFollow(t *testing.T, w *world, n *cluster.Node) *follow {
	r := &follow{t: t, node: n, shards: w.shards, any: make(chan struct{}, 1), seen: map[uint32]uint64{}}
	for range w.shards {
		r.heard = append(r.heard, make(chan struct{}, 1))
	}
	t.Cleanup(n.Feed().Watch(func(number uint32) { // it must not wait, however long nobody reads
		for _, c := range []chan struct{}{r.heard[number], r.any} {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}))
	return r
}

// next waits until something is told of, and returns the shards.
func (r *follow) next(deadline <-chan time.Time) (heard []uint32) {
	select {
	case <-r.any:
	case <-deadline:
	}
	for number, c := range r.heard {
		select {
		case <-c:
			heard = append(heard, uint32(number))
		default:
		}
	}
	return heard
}

// readUntilHeardOf reads what is told of until that are so many shards.
func (r *follow) readUntilHeardOf(shards int) {
	r.t.Helper()
	end := time.Now().Add(patience)
	for deadline := time.After(patience); len(r.seen) < shards; {
		for _, number := range r.next(deadline) {
			readOn(r.t, r.node, number, r.seen)
		}
		if time.Now().After(end) {
			r.t.Fatalf("only %d of %d shards were heard of", len(r.seen), r.shards)
		}
	}
}

// readAll reads all logs to their ends, as far as any of the nodes knows of them.
func (r *follow) readAll(nodes ...*cluster.Node) {
	r.t.Helper()
	for number := range uint32(r.shards) {
		end := uint64(0)
		for _, n := range nodes {
			end = max(end, ends(n, number))
		}
		r.awaitHead(number, end)
		readOn(r.t, r.node, number, r.seen)
	}
}

// readOn reads a shard's log up to the newest record that the reader's node knows of.
func readOn(t *testing.T, reader *cluster.Node, number uint32, seen map[uint32]uint64) {
	t.Helper()
	head, _ := reader.Feed().Head(number)
	for seen[number] < head.Number {
		found, err := reader.Feed().Records(t.Context(), number, seen[number]+1, 1<<20)
		if err != nil || len(found) == 0 || found[0].Number != seen[number]+1 {
			t.Fatalf("records of shard %d from %d: %d, %v", number, seen[number]+1, len(found), err)
		}
		seen[number] += uint64(len(found))
	}
}

// awaitHead waits until a reader's node knows of a record: it is told of what others have a moment later.
func (r *follow) awaitHead(number uint32, record uint64) {
	r.t.Helper()
	for deadline := time.After(patience); ends(r.node, number) < record; {
		select {
		case <-r.any:
		case <-deadline:
			r.t.Fatalf("shard %d is known up to record %d, not %d", number, ends(r.node, number), record)
		}
	}
}

func ends(n *cluster.Node, number uint32) uint64 {
	head, _ := n.Feed().Head(number)
	return head.Number
}
