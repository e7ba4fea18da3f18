package entity_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/cassandra"
	"github.com/skerryhq/skerry/journal/cassandra/launch"
)

// cassandraNode is one Cassandra node for all tests of this package that do nothing to it.
var cassandraNode launch.Shared

// duelTime is how long owners fight: SKERRY_DUEL_SECONDS, or a few seconds.
func duelTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("SKERRY_DUEL_SECONDS")
	if text == "" {
		return 4 * time.Second
	}
	seconds, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("SKERRY_DUEL_SECONDS: %v", err)
	}
	return time.Duration(seconds) * time.Second
}

// Several owners believe that every shard is theirs, and nothing is between them but the log. Each claims
// all shards again and again; callers send to all of them, to those that lost as well, give up
// early and ask again; and answers of the database are lost after it did the work.
func TestOwnersOnCassandraAnswerEachCommandOnce(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a Cassandra node takes ten seconds")
	}
	for _, owners := range []int{2, 5} {
		t.Run(fmt.Sprint(owners, " owners"), func(t *testing.T) {
			t.Parallel()
			c := newContested(t, owners)
			d := newDuel(duelPlan{owners: owners, callers: 192, entities: 96, shards: 8, held: time.Duration(owners) * 140 * time.Millisecond, journal: c.open})
			d.fight(t.Context(), duelTime(t))
			c.heal()
			d.judge(t, c.truth)
			c.log(t)
		})
	}
}

// The same over the journal in memory, with its faults: the checks of the duel can hold.
func TestOwnersOfAFlakyJournalAnswerEachCommandOnce(t *testing.T) {
	t.Parallel()
	memory := journal.NewMemory()
	d := newDuel(duelPlan{owners: 3, callers: 16, entities: 8, shards: 2, held: 60 * time.Millisecond, journal: func(i int) (journal.Journal, error) {
		return flaky(memory, uint64(i)), nil
	}})
	d.fight(t.Context(), time.Second)
	d.judge(t, memory)
}

// contested is one keyspace and the owners' ways to it.
type contested struct {
	t       *testing.T
	cfg     cassandra.Config
	truth   journal.Journal
	proxies []*launch.Proxy
}

func newContested(t *testing.T, owners int) *contested {
	cfg := cassandra.Config{
		Hosts: cassandraNode.Hosts(t), Keyspace: fmt.Sprintf("duel_%d_%d", owners, time.Now().UnixNano()),
		Development: true, BucketBytes: 200_000, Logger: slog.New(slog.DiscardHandler),
	}
	truth, err := cassandra.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := &contested{t: t, cfg: cfg, truth: truth}
	t.Cleanup(func() {
		if err := errors.Join(truth.Close(), cassandra.DropKeyspace(context.WithoutCancel(t.Context()), cfg)); err != nil {
			t.Error(err)
		}
	})
	return c
}

// open returns an owner's own way to the database, through a proxy of its own.
func (c *contested) open(i int) (journal.Journal, error) {
	proxy, err := launch.NewProxy(c.cfg.Hosts[0], uint64(i), launch.Faults{Drop: 2, Cut: 1, Delay: 10})
	if err != nil {
		return nil, err
	}
	c.t.Cleanup(proxy.Stop)
	cfg := c.cfg
	cfg.Hosts, cfg.Timeout = []string{proxy.Address()}, 500*time.Millisecond
	cfg.BucketBytes += int64(i) * 10_000 // owners need not agree where a partition ends
	j, err := cassandra.Open(c.t.Context(), cfg)
	proxy.Spoil(true)
	c.proxies = append(c.proxies, proxy)
	return j, err
}

// heal ends the faults.
func (c *contested) heal() {
	for _, p := range c.proxies {
		p.Spoil(false)
	}
}

// log tells what the proxies did; without that the duel proves less.
func (c *contested) log(t *testing.T) {
	var sum launch.Faults
	for _, p := range c.proxies {
		done := p.Spoilt()
		sum.Drop, sum.Cut, sum.Delay = sum.Drop+done.Drop, sum.Cut+done.Cut, sum.Delay+done.Delay
	}
	t.Logf("answers of the database: %d dropped, %d delayed; %d connections cut", sum.Drop, sum.Delay, sum.Cut)
	if sum == (launch.Faults{}) {
		t.Error("the proxies were too kind: the test proves little")
	}
}

// duelPlan says who fights over what.
type duelPlan struct {
	owners, callers, entities, shards int
	// queries is how many of a hundred calls ask only; 25 by default.
	queries int
	// held is about how long an owner lets pass between two claims of all shards.
	held time.Duration
	// journal opens owner i's way to the one log. The duel closes it.
	journal func(i int) (journal.Journal, error)
	// patience is how long callers may take after the end to learn what became of their commands, and how long is waited
	// before for owners to meet; minutes by default.
	patience time.Duration
}

// duel is owners of the same shards, and callers of all of them.
type duel struct {
	duelPlan
	history *recording
	book    *answerBook
	over    atomic.Bool
	claims  atomic.Int64
	began   time.Time
	took    time.Duration

	owned    []journal.Journal
	stopping sync.WaitGroup

	mu    sync.Mutex
	hosts []*entity.Host // those that callers send to; the newest are last
}

func newDuel(plan duelPlan) *duel {
	if plan.patience == 0 {
		plan.patience = patience
	}
	if plan.queries == 0 {
		plan.queries = 25
	}
	return &duel{duelPlan: plan, history: newRecording(), book: newAnswerBook()}
}

// fight lets owners and callers go for that long, and on until owners have met, however slow the machine is. It returns when
// every caller knows what became of its commands, or does not wait any longer.
func (d *duel) fight(ctx context.Context, howLong time.Duration) {
	d.during(ctx, func(ctx context.Context) {
		var owners sync.WaitGroup
		for i, j := range d.owned {
			owners.Go(func() { d.owner(ctx, i, j) })
		}
		<-time.After(howLong)
		for end := time.Now().Add(d.patience); !d.hasBegun() && time.Now().Before(end); {
			<-time.After(howLong / 10)
		}
		d.over.Store(true)
		owners.Wait()
	})
}

// hasBegun tells that commands were answered, and that owners were overtaken.
func (d *duel) hasBegun() bool {
	final, _, _ := d.book.progress()
	return final > 0 && d.claims.Load() > int64(d.owners)
}

// during starts an owner each and lets callers go on while something is done to them.
func (d *duel) during(ctx context.Context, something func(context.Context)) {
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	for i := range d.owners {
		j, err := d.journal(i)
		if err != nil {
			d.book.complain("owner %d: %v", i, err)
			return
		}
		d.owned = append(d.owned, j)
		for tries := 0; tries < 20 && d.claims.Load() <= int64(i); tries++ { // a journal with faults may stop one
			d.claim(ctx, j)
		}
	}
	if len(d.hosts) == 0 {
		d.book.complain("no owner could start")
		return
	}
	d.began = time.Now()
	var callers sync.WaitGroup
	for c := range d.callers {
		callers.Go(func() { d.caller(ctx, c) })
	}
	something(ctx)
	d.over.Store(true)
	d.took = time.Since(d.began)
	impatient := time.AfterFunc(d.patience, giveUp)
	defer impatient.Stop()
	callers.Wait()
}

// owner claims all shards now and then, with a host that knows nothing of those before it.
func (d *duel) owner(ctx context.Context, i int, j journal.Journal) {
	rng := rand.New(rand.NewPCG(uint64(d.owners), uint64(i)))
	for !d.over.Load() {
		<-time.After(d.held/4 + time.Duration(rng.Int64N(int64(d.held*3/2)))) // the others are left to serve
		d.claim(ctx, j)
	}
}

// claim starts one more host on all shards. The oldest ones are stopped, with whatever they still have to do.
func (d *duel) claim(ctx context.Context, j journal.Journal) {
	starting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	h, err := entity.Start(starting, entity.Config{
		Journal: j, Types: []entity.Definition{tallies}, Shards: d.shards, Logger: slog.New(slog.DiscardHandler), SlowAfter: time.Minute,
	})
	if err != nil {
		return // others have taken a shard before it served, or an answer was lost: it tries again
	}
	d.claims.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hosts = append(d.hosts, h)
	if len(d.hosts) > 2*d.owners {
		d.stop(d.hosts[0])
		d.hosts = d.hosts[1:]
	}
}

func (d *duel) stop(h *entity.Host) {
	d.stopping.Go(func() {
		d.wantNoneHalted(h)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = h.Stop(ctx) // one that was overtaken may have nobody to drain to
	})
}

// wantNoneHalted looks whether a shard has met something in its log that cannot be.
func (d *duel) wantNoneHalted(h *entity.Host) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	shards, err := h.Shards(ctx)
	if err != nil {
		d.book.complain("shards of a host that is to stop: %v", err)
	}
	for _, s := range shards {
		if s.Phase == "halted" {
			d.book.complain("shard %d is halted: %s", s.Shard, s.Reason)
		}
	}
}

// end stops all hosts and closes the owners' journals.
func (d *duel) end() {
	d.mu.Lock()
	for _, h := range d.hosts {
		d.stop(h)
	}
	d.hosts = nil
	d.mu.Unlock()
	d.stopping.Wait()
	for _, j := range d.owned {
		if err := j.Close(); err != nil {
			d.book.complain("close: %v", err)
		}
	}
}

// Histories are checked per entity: callers go on to fresh ones before a history becomes too long for that.
const duelChapter = 2 * time.Second

// caller sends commands and queries, one after the other, each to any of the hosts.
func (d *duel) caller(ctx context.Context, c int) {
	rng := rand.New(rand.NewPCG(uint64(d.owners), uint64(c)))
	for n := 0; !d.over.Load(); n++ {
		chapter := time.Since(d.began) / duelChapter
		in := operation{entity: fmt.Sprint(int(chapter), "-", rng.IntN(d.entities)), query: rng.IntN(100) < d.queries}
		if !in.query {
			in.add = int64(rng.IntN(12) - 1)
		}
		key := fmt.Sprint(c, "/", n)
		if !in.query {
			in.key = key
		}
		err := d.history.record(c, in, func() (int64, error) { return d.call(ctx, in, key, rng) })
		if err != nil {
			d.book.complain("%+v: %v", in, err)
			continue
		}
		if !in.query && rng.IntN(16) == 0 {
			_, _ = d.attempt(ctx, in, key, rng) // the book holds its answer against the first
		}
	}
}

// call repeats a command with its key, to any of the hosts, until one answers. A command that no host took is
// known not to have run; one whose outcome some host did not know may have.
func (d *duel) call(ctx context.Context, in operation, key string, rng *rand.Rand) (int64, error) {
	var unknown error
	for {
		got, err := d.attempt(ctx, in, key, rng)
		var no *entity.Rejection
		switch {
		case err == nil || errors.As(err, &no):
			return got, err
		case errors.Is(err, entity.ErrUnknownOutcome):
			unknown = err
		case !errors.Is(err, entity.ErrUnavailable):
			return 0, err
		}
		if ctx.Err() != nil {
			return 0, cmpError(unknown, err)
		}
		<-time.After(time.Duration(rng.IntN(8)) * time.Millisecond) // hosts that lost answer at once
	}
}

func cmpError(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// attempt sends once, to the newest host or to any, and in one of three cases with less time than an append may take.
func (d *duel) attempt(ctx context.Context, in operation, key string, rng *rand.Rand) (int64, error) {
	if rng.IntN(3) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(1+rng.IntN(40))*time.Millisecond)
		defer cancel()
	}
	ref := tallies.Ref(d.any(rng), in.entity)
	if in.query {
		got, err := sum.Ask(ctx, ref, &emptypb.Empty{})
		d.book.count(err)
		return got.GetValue(), err
	}
	got, err := addTo.Ask(ctx, ref, wrapperspb.Int64(in.add), entity.Key(key))
	d.book.count(err)
	d.book.hear(key, in.entity, got.GetValue(), err)
	return got.GetValue(), err
}

func (d *duel) any(rng *rand.Rand) *entity.Host {
	d.mu.Lock()
	defer d.mu.Unlock()
	if rng.IntN(2) == 0 {
		return d.hosts[len(d.hosts)-1]
	}
	return d.hosts[rng.IntN(len(d.hosts))]
}
