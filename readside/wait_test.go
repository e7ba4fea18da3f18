package readside_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/readside"
	"github.com/skerryhq/skerry/readside/readsidetest"
)

func TestWaitForTellsWhatIsWrong(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db := newLog(2), open(t)
		cfg := quick(log, readside.SQL("balances", db.Write(), readside.On(addUp)))
		cfg.MaxWaiting = 1
		r := start(t, cfg)
		of := func(history string, shard uint32, offset uint64) journal.Token {
			return journal.Token{History: history, Offsets: []journal.ShardOffset{{Shard: shard, Offset: offset}}}
		}
		if err := r.WaitFor(t.Context(), "sharks", log.Token()); !errors.Is(err, readside.ErrUnknownProcessor) {
			t.Errorf("an unknown processor gives %v", err)
		}
		for name, token := range map[string]journal.Token{"another history": of("other", 0, 1), "no such shard": of("test", 2, 1)} {
			if err := r.WaitFor(t.Context(), "balances", token); !errors.Is(err, journal.ErrToken) {
				t.Errorf("%s gives %v", name, err)
			}
		}
		if err := r.WaitFor(t.Context(), "balances", journal.Token{}); err != nil {
			t.Errorf("an empty token gives %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		waits := make(chan error)
		go func() {
			for { // until it is the one that may wait: those below may have come first
				if err := r.WaitFor(ctx, "balances", of("test", 0, 99)); !strings.Contains(err.Error(), "MaxWaiting") {
					waits <- err
					return
				}
			}
		}()
		until(t, "one more than may wait is refused", func() bool {
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			err := r.WaitFor(ended, "balances", of("test", 1, 99))
			return errors.Is(err, readside.ErrBehind) && strings.Contains(err.Error(), "MaxWaiting")
		})
		cancel()
		if err := <-waits; !errors.Is(err, readside.ErrBehind) || !errors.Is(err, context.Canceled) {
			t.Errorf("a wait that is given up ends with %v", err)
		}
		go func() { waits <- r.WaitFor(t.Context(), "balances", of("test", 0, 99)) }()
		stop(t, r)
		if err := <-waits; !errors.Is(err, readside.ErrBehind) {
			t.Errorf("a stopped runner ends the wait with %v", err)
		}
	})
}

func TestPausedProcessorWaitsAndGoesOn(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db := newLog(2), open(t)
		r := start(t, quick(log, readside.SQL("balances", db.Write(), readside.On(addUp))))
		await(t, r, "balances", log.Store("account", "ann", payment(1)))
		if err := r.Pause(t.Context(), "balances"); err != nil {
			t.Fatal(err)
		}
		token := log.Store("account", "ann", payment(1))
		s := status(t, r, "balances")
		if s.GetState() != "paused" || s.GetLagEvents() != 1 {
			t.Errorf("the processor is %v", s)
		}
		if err := r.Resume(t.Context(), "balances"); err != nil {
			t.Fatal(err)
		}
		await(t, r, "balances", token)
		if s := status(t, r, "balances"); s.GetState() != "running" || s.GetLagEvents() != 0 || s.GetLagMs() != 0 {
			t.Errorf("the processor is %v", s)
		}
	})
}

// counting counts what is asked of a source.
type counting struct {
	*readsidetest.Log
	heads, reads atomic.Int64
}

func (c *counting) Head(shard uint32) (journal.Header, bool) {
	c.heads.Add(1)
	return c.Log.Head(shard)
}

func (c *counting) Records(ctx context.Context, shard uint32, from uint64, maxBytes int) ([]journal.Record, error) {
	c.reads.Add(1)
	return c.Log.Records(ctx, shard, from, maxBytes)
}

func TestEventCostsNothingOnOtherShards(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, file := &counting{Log: newLog(512)}, open(t)
		var sent atomic.Int64
		db := openFaulty(t, file, "OFF", func(string, bool) error { sent.Add(1); return nil })
		r := start(t, quick(log, readside.SQL("balances", db, readside.On(addUp))))
		await(t, r, "balances", log.Store("account", "ann", payment(1)))
		await(t, r, "balances", log.Store("account", "ann", payment(1)))
		asked := func() [3]int64 { return [3]int64{log.heads.Load(), log.reads.Load(), sent.Load()} }
		// What the last event led to ends, however long that takes; whatever polls does not.
		until(t, "an idle runner asks for no heads and pages, and sends nothing to the database", func() bool {
			before := asked()
			<-time.After(100 * time.Millisecond)
			return asked() == before
		})
		heads := log.heads.Load()
		await(t, r, "balances", log.Store("account", "ann", payment(1)))
		if n := log.heads.Load() - heads; n > 6 {
			t.Errorf("one event led to %d looks at heads of 512 shards", n)
		}
	})
}

func TestProcessorsShareWhatIsRead(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log := &counting{Log: newLog(1)}
		var all []readside.Processor
		for n := range 4 {
			all = append(all, readside.SQL(fmt.Sprint("p", n), open(t).Write(), readside.On(addUp)))
		}
		r := start(t, quick(log, all...))
		const events = 50
		for range events {
			token := log.Store("account", "ann", payment(1))
			for n := range all {
				await(t, r, fmt.Sprint("p", n), token)
			}
		}
		// One page with the claim, one for each event; a status would read none.
		if n := log.reads.Load(); n > events+len64(all)+1 {
			t.Errorf("%d pages were read for %d events and %d processors", n, events, len(all))
		}
	})
}

func len64[T any](all []T) int64 { return int64(len(all)) }

func TestHostsFeedIsFollowedFromMemoryAndFromTheJournal(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		j := journal.NewMemory()
		host, err := entity.Start(t.Context(), entity.Config{Journal: j, Types: []entity.Definition{accounts}, Shards: 4, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := host.Stop(ctx); err != nil {
				t.Error(err)
			}
		})
		db := open(t)
		cfg := quick(host.Feed(), readside.SQL("balances", db.Write(), readside.On(addUp)), readside.SQL("rows", db.Write(), readside.On(addRow)))
		var want [modelAccounts]int64
		for round := range 4 { // the first begins without a runner; each next one is behind at first
			var callers sync.WaitGroup
			running := make(chan struct{})
			for n := range want {
				callers.Go(func() {
					for i := range 60 {
						if i == 30 {
							<-running
						}
						if _, err := pay.Ask(within(t), accounts.Ref(host, accountID(n)), payment(int64(i)), entity.Key(fmt.Sprint(round, "-", i))); err != nil {
							t.Error(err)
						}
					}
				})
				want[n] += 59 * 60 / 2
			}
			r := start(t, cfg)
			close(running)
			callers.Wait()
			end := journal.Token{History: host.Feed().History()}
			for shard := range uint32(4) {
				head, _ := host.Feed().Head(shard)
				end = end.With(shard, head.NextOffset()-1)
			}
			await(t, r, "balances", end)
			await(t, r, "rows", end)
			stop(t, r)
		}
		for n, sum := range want {
			if got := cents(t, db.Read(), accountID(n)); got != sum {
				t.Errorf("%s has %d, want %d", accountID(n), got, sum)
			}
		}
	})
}

func TestDefinitionsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	db := openFile(t).Write()
	for name, define := range map[string]func(){
		"no name":        func() { readside.SQL("", db, readside.On(addUp)) },
		"a line in it":   func() { readside.SQL("a\nb", db, readside.On(addUp)) },
		"no database":    func() { readside.SQL("a", nil, readside.On(addUp)) },
		"no rules":       func() { readside.SQL("a", db) },
		"one rule twice": func() { readside.SQL("a", db, readside.On(addUp), readside.On(addUp)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: nothing is said", name)
				}
			}()
			define()
		}()
	}
	p := readside.SQL("a", db, readside.On(addUp))
	for field, cfg := range map[string]readside.Config{
		"Source":         {Processors: []readside.Processor{p}},
		"Processors":     {Source: newLog(1)},
		"named \"a\"":    {Source: newLog(1), Processors: []readside.Processor{p, p}},
		"MaxEvents":      {Source: newLog(1), Processors: []readside.Processor{p}, MaxEvents: -1},
		"MaxTime":        {Source: newLog(1), Processors: []readside.Processor{p}, MaxTime: time.Minute},
		"MaxAttempts":    {Source: newLog(1), Processors: []readside.Processor{p}, MaxAttempts: -2},
		"HandlerTimeout": {Source: newLog(1), Processors: []readside.Processor{p}, HandlerTimeout: -1},
	} {
		if _, err := readside.Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: the error is %v", field, err)
		}
	}
}
