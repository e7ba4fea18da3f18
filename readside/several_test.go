package readside_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerryhq/skerry/journal"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
	"github.com/skerryhq/skerry/readside"
	"github.com/skerryhq/skerry/readside/readsidetest"
)

// This file is about several runners on one database: what one node is asked, another one does.

// pair starts two runners on one log and database. The first follows all shards, the second none.
func pair(t *testing.T, log *readsidetest.Log, db rows, d *defects) (follows, idles *readside.Runner) {
	t.Helper()
	follows = start(t, quick(log, d.processor("balances", db.Write())))
	idles = start(t, quick(log, d.processor("balances", db.Write())))
	idle(t, idles, "balances")
	return follows, idles
}

// idle lets a runner follow nothing, and waits until that is so.
func idle(t *testing.T, r *readside.Runner, processor string) {
	t.Helper()
	r.Assign([]uint32{})
	until(t, "it follows nothing", func() bool {
		return !slices.ContainsFunc(status(t, r, processor).GetShards(), func(s *adminv1.ProcessorShard) bool { return s.GetState() != "elsewhere" })
	})
}

func TestANodeWaitsForWhatAnotherFollows(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db := newLog(4), open(t)
		_, idles := pair(t, log, db, &defects{})
		for n := range 20 {
			await(t, idles, "balances", log.StoreAll(
				readsidetest.Command{Type: "account", ID: "ann", Events: events(1)},
				readsidetest.Command{Type: "account", ID: "bob", Events: events(1)},
			))
			if ann, bob := cents(t, db.Read(), "ann"), cents(t, db.Read(), "bob"); ann != int64(n+1) || bob != int64(n+1) {
				t.Fatalf("ann has %d and bob %d, want %d", ann, bob, n+1)
			}
		}
	})
}

func TestAWaitThatAnotherNodeDoesNotEndIsGivenUp(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db := newLog(1), open(t)
		_, idles := pair(t, log, db, &defects{})
		ctx, cancel := context.WithCancel(t.Context())
		waits := make(chan error)
		go func() {
			waits <- idles.WaitFor(ctx, "balances", journal.Token{History: "test", Offsets: []journal.ShardOffset{{Shard: 0, Offset: 9}}})
		}()
		<-time.After(20 * time.Millisecond)
		cancel()
		if err := <-waits; !errors.Is(err, readside.ErrBehind) {
			t.Errorf("it ends with %v", err)
		}
	})
}

// Who waited for a shard that was followed here goes on waiting when it is not any more.
func TestAWaitOutlivesTheMoveOfItsShard(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db := newLog(1), open(t)
		follows, idles := pair(t, log, db, &defects{})
		await(t, follows, "balances", log.Store("account", "ann", payment(1)))
		waits := make(chan error)
		next := log.Token()
		next.Offsets[0].Offset++
		go func() { waits <- follows.WaitFor(within(t), "balances", next) }()
		<-time.After(5 * time.Millisecond)
		follows.Assign([]uint32{})
		idles.Assign([]uint32{0})
		log.Store("account", "ann", payment(1))
		if err := <-waits; err != nil {
			t.Error(err)
		}
	})
}

func TestStatusIsOfAllShardsOnAnyNode(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db, d := newLog(2), open(t), &defects{}
		d.set(accountIn(log, 1), errors.New("no such row"))
		follows, idles := pair(t, log, db, d)
		log.Store("account", accountIn(log, 0), payment(1))
		await(t, follows, "balances", log.Store("account", accountIn(log, 1), payment(1)))
		var got *adminv1.Processor
		until(t, "the idle node has read what the database tells", func() bool {
			got = status(t, idles, "balances")
			return len(got.GetShards()) > 0
		})
		if n := len(got.GetShards()); n != 2 || got.GetLagEvents() != 0 || got.GetParkedCommands() != 1 || got.GetParkedEntities() != 1 {
			t.Fatalf("the idle node tells %v", got)
		}
		for _, s := range got.GetShards() {
			if s.GetState() != "elsewhere" || s.GetOffset() != 1 || s.GetHeadOffset() != 1 {
				t.Errorf("the idle node tells %v", s)
			}
		}
		if err := follows.Pause(t.Context(), "balances"); err != nil {
			t.Fatal(err)
		}
		log.Store("account", accountIn(log, 0), payment(1))
		until(t, "the idle node has read that it is paused", func() bool {
			got = status(t, idles, "balances")
			return got.GetState() == "paused" && len(got.GetShards()) > 0
		})
		if got.GetLagEvents() != 1 || got.GetLagMs() < 0 {
			t.Errorf("while it is paused the idle node tells %v", got)
		}
	})
}

func TestParkedCommandsAreRetriedByWayOfAnyNode(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db, d := newLog(1), open(t), &defects{}
		d.set("bob", errors.New("no such row"))
		follows, idles := pair(t, log, db, d)
		many(log, "bob", 250, 1) // more than one transaction of a retry has
		await(t, follows, "balances", log.Token())
		if err := idles.Retry(within(t), "balances", "account", "bob"); err == nil {
			t.Error("a retry before the repair succeeds")
		}
		d.set("bob", nil)
		if err := idles.Retry(within(t), "balances", "account", "bob"); err != nil {
			t.Fatal(err)
		}
		await(t, follows, "balances", log.Store("account", "bob", payment(7)))
		if got := cents(t, db.Read(), "bob"); got != 257 {
			t.Errorf("bob has %d, want 257", got)
		}
		if err := idles.Retry(within(t), "balances", "account", "bob"); !errors.Is(err, readside.ErrNotParked) {
			t.Errorf("a retry of what is not parked gives %v", err)
		}
	})
}

func TestAShardThatIsFullOfParkedCommandsGoesOnAfterARetryElsewhere(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db, d := newLog(1), open(t), &defects{}
		d.set("bob", errors.New("no such row"))
		cfg := quick(log, d.processor("balances", db.Write()))
		cfg.MaxParked = 3
		follows, idles := start(t, cfg), start(t, cfg)
		idle(t, idles, "balances")
		many(log, "bob", 5, 1)
		until(t, "the shard is blocked", func() bool { return status(t, follows, "balances").GetShards()[0].GetState() == "blocked" })
		d.set("bob", nil)
		if err := idles.Retry(within(t), "balances", "account", "bob"); err != nil {
			t.Fatal(err)
		}
		await(t, follows, "balances", log.Token())
		if got := cents(t, db.Read(), "bob"); got != 5 {
			t.Errorf("bob has %d, want 5", got)
		}
	})
}

func TestAPauseHoldsOnAllNodesAndAfterARestart(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db := newLog(1), open(t)
		follows, idles := pair(t, log, db, &defects{})
		await(t, follows, "balances", log.Store("account", "ann", payment(1)))
		if err := idles.Pause(t.Context(), "balances"); err != nil {
			t.Fatal(err)
		}
		seen := log.Store("account", "ann", payment(1))
		until(t, "the other node notices", func() bool { return status(t, follows, "balances").GetState() == "paused" })
		stop(t, follows)
		follows = start(t, quick(log, (&defects{}).processor("balances", db.Write())))
		until(t, "it is paused from the start", func() bool { return status(t, follows, "balances").GetState() == "paused" })
		if got := cents(t, db.Read(), "ann"); got != 1 {
			t.Errorf("ann has %d while it is paused", got)
		}
		if err := idles.Resume(t.Context(), "balances"); err != nil {
			t.Fatal(err)
		}
		await(t, follows, "balances", seen)
	})
}

// slowSource has a shard whose reads hang for as long as a test wants.
type slowSource struct {
	*readsidetest.Log
	slow    atomic.Bool
	reading chan struct{} // gets one value when a read hangs
	release chan struct{}
	others  atomic.Int64 // reads of other shards
}

func (s *slowSource) Records(ctx context.Context, shard uint32, from uint64, maxBytes int) ([]journal.Record, error) {
	if shard == 1 && s.slow.CompareAndSwap(true, false) {
		s.reading <- struct{}{}
		select {
		case <-s.release:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if shard != 1 {
		defer s.others.Add(1)
	}
	return s.Log.Records(ctx, shard, from, maxBytes)
}

// The feeder hangs in a read of another shard when the shard goes, and events of it are read already.
func TestAShardThatIsGoneBeginsNoTransaction(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db := &slowSource{Log: newLog(2), reading: make(chan struct{}), release: make(chan struct{})}, open(t)
		gone, stays := accountIn(log.Log, 0), accountIn(log.Log, 1)
		r := start(t, quick(log, readside.SQL("balances", db.Write(), readside.On(addUp))))
		await(t, r, "balances", log.Store("account", gone, payment(1)))
		if err := r.Pause(t.Context(), "balances"); err != nil {
			t.Fatal(err)
		}
		before := log.others.Load()
		log.Store("account", gone, payment(1))
		until(t, "the shard that goes is read", func() bool { return log.others.Load() > before })
		log.slow.Store(true)
		log.Store("account", stays, payment(1))
		<-log.reading
		r.Assign([]uint32{1})
		if err := r.Resume(t.Context(), "balances"); err != nil {
			t.Fatal(err)
		}
		until(t, "it goes elsewhere", func() bool { return status(t, r, "balances").GetShards()[0].GetState() == "elsewhere" })
		close(log.release)
		await(t, r, "balances", log.Store("account", stays, payment(1)))
		if got := cents(t, db.Read(), gone); got != 1 {
			t.Errorf("the shard that is gone has %d", got)
		}
		r.Assign(nil)
		await(t, r, "balances", log.Token())
	})
}

// What a backup holds is older, and rows and offsets are of one moment.
func TestADatabaseThatWasPutBackIsBroughtUpToDate(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db := newLog(2), open(t)
		r := start(t, quick(log, readside.SQL("history", db.Write(), readside.On(addRow))))
		many(log, "ann", 5, 2)
		await(t, r, "history", log.Token())
		run(t, db, `CREATE TABLE saved_history AS SELECT * FROM history`, `CREATE TABLE saved_progress AS SELECT * FROM skerry_progress`)
		many(log, "ann", 5, 2)
		await(t, r, "history", log.Token())
		run(t, db, `DELETE FROM history`, `DELETE FROM skerry_progress`,
			`INSERT INTO history SELECT * FROM saved_history`, `INSERT INTO skerry_progress SELECT * FROM saved_progress`)
		log.Store("account", "ann", payment(1))
		until(t, "all are there again", func() bool {
			var events, last int64
			if err := db.Read().QueryRowContext(t.Context(), `SELECT COUNT(*), COALESCE(MAX(version), 0) FROM history`).Scan(&events, &last); err != nil {
				t.Fatal(err)
			}
			return events == 21 && last == 21
		})
	})
}

// run runs statements in one transaction.
func run(t *testing.T, db rows, statements ...string) {
	t.Helper()
	tx, err := db.Write().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	for _, text := range statements {
		if _, err := tx.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}
