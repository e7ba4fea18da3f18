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
	"github.com/skerryhq/skerry/journal/journaltest"
)

// cassandraNode is one Cassandra node for all tests of this package that do nothing to it.
var cassandraNode launch.Shared

const (
	duelCallers  = 64
	duelEntities = 32
	duelShards   = 4
	duelTries    = 200
	duelRound    = 700 * time.Millisecond
)

// duelTime is how long owners fight: SKERRY_DUEL_SECONDS, or a few seconds.
func duelTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("SKERRY_DUEL_SECONDS")
	if text == "" {
		return 5 * time.Second
	}
	seconds, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("SKERRY_DUEL_SECONDS: %v", err)
	}
	return time.Duration(seconds) * time.Second
}

// Several hosts believe at any time that every shard is theirs. New ones claim the logs at once, those before
// go on for as long as the log lets them, and callers send to all of them.
func TestOwnersOnCassandraAnswerEachCommandOnce(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a Cassandra node takes ten seconds")
	}
	for _, owners := range []int{2, 5} {
		t.Run(fmt.Sprint(owners, " owners"), func(t *testing.T) {
			t.Parallel()
			d := newDuel(t, owners)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			d.fight(ctx, duelTime(t))
			d.history.check(t)
			d.losersHaveLearnt(ctx)
			d.compareLog(ctx)
		})
	}
}

// duel is hosts that own the same shards, and callers of all of them.
type duel struct {
	t       *testing.T
	owners  int
	cfg     cassandra.Config
	history *recording
	stopped atomic.Bool

	mu       sync.Mutex
	hosts    []*entity.Host // those that callers send to; the newest are last
	accepted map[string]string
	sent     map[string]bool
	attempts [4]int // by what came of them: answered, unavailable, busy, unknown
}

func newDuel(t *testing.T, owners int) *duel {
	cfg := cassandra.Config{
		Hosts: cassandraNode.Hosts(t), Keyspace: fmt.Sprintf("duel_%d_%d", owners, time.Now().UnixNano()),
		Development: true, BucketBytes: 50_000, Logger: slog.New(slog.DiscardHandler),
	}
	t.Cleanup(func() {
		if err := cassandra.DropKeyspace(context.WithoutCancel(t.Context()), cfg); err != nil {
			t.Error(err)
		}
	})
	return &duel{t: t, owners: owners, cfg: cfg, history: newRecording(), accepted: map[string]string{}, sent: map[string]bool{}}
}

// claim starts one more host on all shards. The test's end stops it.
func (d *duel) claim(ctx context.Context) (*entity.Host, error) {
	j, err := cassandra.Open(ctx, d.cfg)
	if err != nil {
		return nil, err
	}
	h, err := entity.Start(ctx, entity.Config{
		Journal: j, Types: []entity.Definition{tallies}, Shards: duelShards, Logger: slog.New(slog.DiscardHandler), SlowAfter: time.Minute,
	})
	if err != nil {
		return nil, errors.Join(err, j.Close())
	}
	d.t.Cleanup(func() {
		stopHost(d.t, h)
		if err := j.Close(); err != nil {
			d.t.Error(err)
		}
	})
	return h, nil
}

// claimAtOnce starts as many hosts as fight, all at once, and lets callers send to them and to those before them.
func (d *duel) claimAtOnce(ctx context.Context) {
	var starting sync.WaitGroup
	for range d.owners {
		starting.Go(func() {
			h, err := d.claim(ctx)
			if err != nil {
				d.t.Error(err)
				return
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			d.hosts = append(d.hosts, h)
			if len(d.hosts) > 2*d.owners {
				d.hosts = d.hosts[1:]
			}
		})
	}
	starting.Wait()
}

func (d *duel) fight(ctx context.Context, howLong time.Duration) {
	d.claimAtOnce(ctx)
	var calling sync.WaitGroup
	for c := range duelCallers {
		calling.Go(func() { d.caller(ctx, c) })
	}
	rounds := 0
	for end := time.Now().Add(howLong); time.Now().Before(end) && !d.t.Failed(); rounds++ {
		<-time.After(duelRound) // the owners are left to their fight
		d.claimAtOnce(ctx)
	}
	d.stopped.Store(true)
	calling.Wait()
	d.t.Logf("%d rounds of %d owners: %d commands acknowledged; attempts: %d answered, %d unavailable, %d busy, %d unknown",
		rounds, d.owners, len(d.accepted), d.attempts[0], d.attempts[1], d.attempts[2], d.attempts[3])
}

// caller sends commands and queries, one after the other, each to another host than the last.
func (d *duel) caller(ctx context.Context, c int) {
	rng := rand.New(rand.NewPCG(uint64(d.owners), uint64(c)))
	for n := 0; !d.stopped.Load(); n++ {
		in := operation{entity: fmt.Sprint(rng.IntN(duelEntities)), query: rng.IntN(4) == 0}
		if !in.query {
			in.add = int64(rng.IntN(12) - 2)
		}
		err := d.history.record(c, in, func() (int64, error) { return d.call(ctx, in, fmt.Sprint(c, "/", n), rng) })
		if err != nil {
			d.t.Errorf("%+v: %v", in, err)
			return
		}
	}
}

// call repeats a command with its key, to any of the hosts, until one answers. A command that no host took is
// known not to have run; one whose outcome some host did not know may have.
func (d *duel) call(ctx context.Context, in operation, key string, rng *rand.Rand) (int64, error) {
	var unknown, last error
	for range duelTries {
		got, err := d.attempt(ctx, d.any(rng), in, key)
		var no *entity.Rejection
		switch {
		case err == nil || errors.As(err, &no):
			return got, err
		case errors.Is(err, entity.ErrUnknownOutcome):
			unknown = err
		case !errors.Is(err, entity.ErrUnavailable):
			return 0, err
		}
		last = err
		<-time.After(time.Duration(rng.IntN(5)) * time.Millisecond) // hosts that lost answer at once
	}
	if unknown != nil {
		return 0, unknown
	}
	return 0, last
}

func (d *duel) any(rng *rand.Rand) *entity.Host {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hosts[rng.IntN(len(d.hosts))]
}

func (d *duel) attempt(ctx context.Context, to *entity.Host, in operation, key string) (int64, error) {
	ref := tallies.Ref(to, in.entity)
	var got *wrapperspb.Int64Value
	var err error
	if in.query {
		got, err = sum.Ask(ctx, ref, &emptypb.Empty{})
	} else {
		got, err = addTo.Ask(ctx, ref, wrapperspb.Int64(in.add), entity.Key(key))
	}
	d.note(in, key, err)
	return got.GetValue(), err
}

func (d *duel) note(in operation, key string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case errors.Is(err, entity.ErrBusy):
		d.attempts[2]++
	case errors.Is(err, entity.ErrUnavailable):
		d.attempts[1]++
	case errors.Is(err, entity.ErrUnknownOutcome):
		d.attempts[3]++
	default:
		d.attempts[0]++
	}
	if in.query {
		return
	}
	d.sent[key] = true
	if err == nil {
		d.accepted[key] = in.entity
	}
}

// losersHaveLearnt asks every host for every entity once the fight is over: of each shard one
// host at most still answers, all others know that it is not theirs.
func (d *duel) losersHaveLearnt(ctx context.Context) {
	serving := map[uint32]int{}
	for _, h := range d.hosts {
		for id := range duelEntities {
			_, err := sum.Ask(ctx, tallies.Ref(h, fmt.Sprint(id)), &emptypb.Empty{})
			if err != nil && !errors.Is(err, entity.ErrUnavailable) {
				d.t.Error(err)
			}
		}
		shards, err := h.Shards(ctx)
		if err != nil {
			d.t.Fatal(err)
		}
		for _, s := range shards {
			switch s.Phase {
			case "serving":
				serving[s.Shard]++
			case "fenced":
			default:
				d.t.Errorf("shard %d is %s (%s), although another host has claimed it or it is the owner", s.Shard, s.Phase, s.Reason)
			}
		}
	}
	for shard, n := range serving {
		if n > 1 {
			d.t.Errorf("%d hosts serve shard %d", n, shard)
		}
	}
	if len(serving) != duelShards {
		d.t.Errorf("%d of %d shards are served", len(serving), duelShards)
	}
}

// compareLog reads what is stored: each acknowledged command once, and nothing that nobody sent.
func (d *duel) compareLog(ctx context.Context) {
	j, err := cassandra.Open(ctx, d.cfg)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = j.Close() }() // what counts was read
	stored := map[entity.CommandKey]int{}
	claims := 0
	for shard := range uint32(duelShards) {
		records, err := journaltest.ReadAll(ctx, j, shard)
		if err != nil {
			d.t.Fatal(err)
		}
		claims += d.count(records, stored)
	}
	known := map[entity.CommandKey]bool{}
	for key := range d.sent {
		known[entity.CallerKey(key)] = true
	}
	for key := range d.accepted {
		if n := stored[entity.CallerKey(key)]; n != 1 {
			d.t.Errorf("command %s to %s was acknowledged; the log has it %d times", key, d.accepted[key], n)
		}
	}
	for key, n := range stored {
		if n != 1 || !known[key] {
			d.t.Errorf("the log has command %s %d times (sent: %v)", key, n, known[key])
		}
	}
	d.t.Logf("%d commands in the log, %d claims", len(stored), claims)
	if claims <= duelShards || len(d.accepted) == 0 {
		d.t.Errorf("%d claims, %d commands: the owners did not meet", claims, len(d.accepted))
	}
}

// count adds the commands of records that stored an event; it returns how many records are claims.
func (d *duel) count(records []journal.Record, stored map[entity.CommandKey]int) (claims int) {
	var reader entity.StoredReader
	for _, rec := range records {
		if rec.Claim {
			claims++
		}
		err := reader.Each(rec, func(s *entity.Stored) error {
			if len(s.Events) > 0 {
				stored[s.Key]++
			}
			return nil
		})
		if err != nil {
			d.t.Fatal(err)
		}
	}
	return claims
}
