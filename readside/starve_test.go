package readside_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/readside"
	"github.com/skerryhq/skerry/readside/readsidetest"
)

// This file shows that a shard which waits neither stops others nor is forgotten because of them.

// many are payments of one to an account, in records of some size.
func many(log *readsidetest.Log, account string, records, each int) {
	for range records {
		commands := make([]readsidetest.Command, each)
		for i := range commands {
			commands[i] = readsidetest.Command{Type: "account", ID: account, Events: events(1)}
		}
		log.StoreAll(commands...)
	}
}

func TestShardsThatWaitLeaveRoomForOthers(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		away, defect := fmt.Errorf("the bank: %w", entity.ErrUnavailable), errors.New("no such row")
		for name, test := range map[string]struct {
			err   error
			state string
			edit  func(*readside.Config)
		}{
			"unavailable":     {away, "retrying", func(*readside.Config) {}},
			"never parked":    {defect, "retrying", func(c *readside.Config) { c.MaxAttempts = -1 }},
			"too much parked": {defect, "blocked", func(c *readside.Config) { c.MaxParked = 3 }},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				log, db, d := newLog(4), open(t), &defects{}
				well := accountIn(log, 3)
				for shard := range uint32(3) { // each has more than fits, and its first record alone fills a third
					d.set(accountIn(log, shard), test.err)
					many(log, accountIn(log, shard), 30, 30)
				}
				cfg := quick(log, d.processor("balances", db.Write()))
				cfg.BufferBytes, cfg.PageBytes = 4<<10, 1<<10
				test.edit(&cfg)
				r := start(t, cfg)
				for shard := range 3 {
					until(t, "the shard waits and says so", func() bool { return status(t, r, "balances").GetShards()[shard].GetState() == test.state })
					if s := status(t, r, "balances").GetShards()[shard]; s.GetReason() == "" && s.GetState() == test.state {
						t.Errorf("no reason is given: %v", s)
					}
				}
				many(log, well, 30, 30)
				seen := log.Store("account", well, payment(7))
				if err := r.WaitFor(within(t), "balances", seen); err != nil {
					t.Fatalf("the healthy shard stands still: %v", err)
				}
				for shard := range uint32(3) {
					d.set(accountIn(log, shard), nil)
				}
				if name == "too much parked" {
					for shard := range uint32(3) {
						if err := r.Retry(within(t), "balances", "account", accountIn(log, shard)); err != nil {
							t.Fatal(err)
						}
					}
				}
				await(t, r, "balances", log.Token())
				for shard := range uint32(3) {
					if got := cents(t, db.Read(), accountIn(log, shard)); got != 900 {
						t.Errorf("shard %d has %d after the repair, want 900", shard, got)
					}
				}
			})
		}
	})
}

// What nobody takes stands between the events of a shard that waits.
func TestShardThatWaitsPassesRecordsWithoutEvents(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db, d := newLog(1), open(t), &defects{}
		d.set("bob", errors.New("no such row"))
		for range 3 {
			for range 40 {
				log.Store("account", "ann", wrapperspb.String("a note"))
				log.Store("account", "ann")
			}
			log.Store("account", "bob", payment(1))
		}
		cfg := quick(log, d.processor("balances", db.Write()))
		cfg.MaxAttempts, cfg.BufferBytes, cfg.PageBytes = -1, 500, 100
		r := start(t, cfg)
		until(t, "it was tried again", func() bool { return status(t, r, "balances").GetErrors() > 3 })
		d.set("bob", nil)
		await(t, r, "balances", log.Token())
		if got := cents(t, db.Read(), "bob"); got != 3 {
			t.Errorf("bob has %d", got)
		}
	})
}

func TestLogThatCouldNotBeReadIsReadAgainWhileOthersChange(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db := newLog(2), open(t)
		still, busy := accountIn(log, 0), accountIn(log, 1)
		var reads atomic.Int64
		log.FailReads(func(shard uint32, _ uint64) error {
			if shard == 0 && reads.Add(1) == 1 {
				return errors.New("the disk is slow")
			}
			return nil
		})
		cfg := quick(log, readside.SQL("balances", db.Write(), readside.On(addUp)))
		cfg.MinBackoff, cfg.MaxBackoff = 20*time.Millisecond, 20*time.Millisecond
		r := start(t, cfg)
		seen := log.Store("account", still, payment(7))
		ctx, stopWriting := context.WithCancel(within(t))
		written := make(chan struct{})
		go func() { // wakes the feeder far more often than the wait is long
			defer close(written)
			for ctx.Err() == nil {
				log.Store("account", busy, payment(1))
				<-time.After(100 * time.Microsecond) // no more than memory bears where the database is slow
			}
		}()
		err := r.WaitFor(ctx, "balances", seen)
		stopWriting()
		<-written
		if err != nil {
			t.Error(err)
		}
		if s := status(t, r, "balances").GetShards()[0]; !strings.Contains(s.GetLastError(), "the disk is slow") {
			t.Errorf("the shard does not tell what went wrong: %v", s)
		}
	})
}

func TestLogThatCannotBeReadIsLeftAloneForAWhile(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db := newLog(2), open(t)
		sick, well := accountIn(log, 0), accountIn(log, 1)
		var reads atomic.Int64
		log.FailReads(func(shard uint32, _ uint64) error {
			if shard == 0 {
				reads.Add(1)
				return errors.New("the disk is gone")
			}
			return nil
		})
		cfg := quick(log, readside.SQL("balances", db.Write(), readside.On(addUp)))
		cfg.MinBackoff, cfg.MaxBackoff = time.Hour, time.Hour
		r := start(t, cfg)
		for range 20 {
			log.Store("account", sick, payment(1))
			await(t, r, "balances", log.Store("account", well, payment(1))) // the feeder has come by
		}
		if n := reads.Load(); n != 1 {
			t.Errorf("it was read %d times within its first wait", n)
		}
	})
}

// The handler of the busy shard sees to it that there is always more: the worker never sleeps.
func TestCommandIsTriedAgainWhileOthersHaveWork(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db := newLog(2), open(t)
		once, busy := accountIn(log, 0), accountIn(log, 1)
		var calls atomic.Int64
		var done atomic.Bool
		cfg := quick(log, readside.SQL("balances", db.Write(), readside.On(func(ctx context.Context, tx *sql.Tx, ev readside.Event[*wrapperspb.Int64Value]) error {
			switch {
			case ev.EntityID == once && calls.Add(1) == 1:
				return errors.New("not yet")
			case ev.EntityID == once:
				done.Store(true)
			case !done.Load() && calls.Load() > 0 && ev.Offset < 50_000:
				log.Store("account", busy, payment(1), payment(1))
			}
			return addUp(ctx, tx, ev)
		})))
		cfg.MaxEvents = 2 // so that there is work left after each transaction
		seen := log.Store("account", once, payment(7))
		many(log, busy, 10, 1)
		r := start(t, cfg)
		await(t, r, "balances", seen)
		if s := status(t, r, "balances").GetShards()[1]; s.GetOffset() >= 50_000 {
			t.Error("it was tried again only when nothing else was left")
		}
	})
}

// t.FailNow in a handler is such a one.
func TestHandlerThatEndsItsGoroutineHasFailed(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db := newLog(1), open(t)
		var healed atomic.Bool
		r := start(t, quick(log, readside.SQL("balances", db.Write(), readside.On(func(ctx context.Context, tx *sql.Tx, ev readside.Event[*wrapperspb.Int64Value]) error {
			if ev.EntityID == "bob" && !healed.Load() {
				runtime.Goexit()
			}
			return addUp(ctx, tx, ev)
		}))))
		log.Store("account", "ann", payment(1))
		log.Store("account", "bob", payment(2))
		await(t, r, "balances", log.Store("account", "ann", payment(4)))
		if got := cents(t, db.Read(), "ann"); got != 5 {
			t.Errorf("ann has %d, want 5", got)
		}
		parked, err := r.Parked(t.Context(), "balances")
		if err != nil || len(parked.GetEntities()) != 1 || !strings.Contains(parked.GetEntities()[0].GetError(), "Goexit") {
			t.Fatalf("parked is %v, %v", parked, err)
		}
		if err := r.Retry(within(t), "balances", "account", "bob"); err == nil || !strings.Contains(err.Error(), "Goexit") {
			t.Errorf("a retry gives %v", err)
		}
		healed.Store(true)
		if err := r.Retry(within(t), "balances", "account", "bob"); err != nil || cents(t, db.Read(), "bob") != 2 {
			t.Errorf("bob has %d, %v", cents(t, db.Read(), "bob"), err)
		}
	})
}

func TestRetryIsAnsweredWhenAProcessorDoesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db, d := newLog(1), open(t), &defects{}
		cfg := quick(log, d.processor("balances", db.Write()))
		r := start(t, cfg)
		await(t, r, "balances", log.Store("account", "bob", payment(1)))
		if err := r.Pause(t.Context(), "balances"); err != nil {
			t.Fatal(err)
		}
		var no *entity.Rejection
		if err := r.Retry(t.Context(), "balances", "account", "bob"); !errors.Is(err, readside.ErrPaused) || !errors.As(err, &no) || no.Code != "skerry/paused" {
			t.Errorf("while it is paused a retry gives %v", err)
		}
		stop(t, r)
		other := newLog(1)
		other.SetHistory("restored")
		cfg.Source = other
		r = start(t, cfg)
		until(t, "it halts", func() bool { return r.Halted("balances") != nil })
		if err := r.Retry(t.Context(), "balances", "account", "bob"); !errors.Is(err, readside.ErrHalted) || !errors.As(err, &no) || no.Code != "skerry/halted" {
			t.Errorf("when it has halted a retry gives %v", err)
		}
	})
}

// Pause comes while requests wait behind a handler that runs.
func TestRequestsThatWaitAreAnsweredByAPause(t *testing.T) {
	t.Parallel()
	log, db := newLog(1), openFile(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	cfg := quick(log, readside.SQL("balances", db.Write(), readside.On(func(context.Context, *sql.Tx, readside.Event[*wrapperspb.Int64Value]) error {
		close(entered)
		<-leave
		return nil
	})))
	r := start(t, cfg)
	t.Cleanup(func() { close(leave) })
	log.Store("account", "ann", payment(1))
	<-entered
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 200 { // callers that are gone take no room
		if err := r.Retry(gone, "balances", "account", "bob"); !errors.Is(err, context.Canceled) {
			t.Fatalf("a caller that is gone gets %v", err)
		}
	}
	answer := make(chan error, 1)
	go func() { answer <- r.Retry(within(t), "balances", "account", "bob") }()
	<-time.After(20 * time.Millisecond) // it waits behind the handler; were it later, it would be refused all the same
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_ = r.Pause(short, "balances") // SQLite's one connection is the handler's: it cannot be stored yet
	if err := <-answer; !errors.Is(err, readside.ErrPaused) {
		t.Errorf("a pause answers with %v", err)
	}
}
