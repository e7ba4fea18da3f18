package readside_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/readside"
	"github.com/skerryhq/skerry/readside/readsidetest"
)

// bank is a neighbour that notes what it is told.
type bank struct {
	mu    sync.Mutex
	calls []string // account:cents, as they came
	ids   map[string]bool
	says  func(ctx context.Context, account string) error
}

func (b *bank) processor(db *sql.DB) readside.Processor {
	return readside.AtLeastOnce("tell", db, readside.Call(func(ctx context.Context, ev readside.Event[*wrapperspb.Int64Value]) error {
		b.mu.Lock()
		says := b.says
		b.mu.Unlock()
		if says != nil {
			if err := says(ctx, ev.EntityID); err != nil {
				return err
			}
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.calls = append(b.calls, fmt.Sprint(ev.EntityID, ":", ev.Msg.GetValue()))
		if b.ids == nil {
			b.ids = map[string]bool{}
		}
		b.ids[ev.ID()] = true
		return nil
	}, readside.OfType("account")))
}

func (b *bank) answer(says func(context.Context, string) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.says = says
}

// failing makes the account bob's calls fail.
func failing(err error) func(context.Context, string) error {
	return func(_ context.Context, account string) error {
		if account == "bob" {
			return err
		}
		return nil
	}
}

func (b *bank) told() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.calls)
}

func TestEachEventIsToldOnceInOrderAndNotAgainAfterARestart(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db, b := newLog(4), open(t), &bank{}
		cfg := quick(log, b.processor(db.Write()))
		r := start(t, cfg)
		for n := range 10 {
			one := []proto.Message{payment(int64(n))}
			log.StoreAll(readsidetest.Command{Type: "account", ID: "ann", Events: one}, readsidetest.Command{Type: "account", ID: "bob", Events: one})
		}
		await(t, r, "tell", log.Token())
		stop(t, r)
		r = start(t, cfg)
		await(t, r, "tell", log.Store("account", "ann", payment(10)))
		var ann []string
		for _, call := range b.told() {
			if strings.HasPrefix(call, "ann") {
				ann = append(ann, call)
			}
		}
		if want := "ann:0 ann:1 ann:2 ann:3 ann:4 ann:5 ann:6 ann:7 ann:8 ann:9 ann:10"; strings.Join(ann, " ") != want {
			t.Errorf("told %v, want %s", ann, want)
		}
		if len(b.told()) != 21 || len(b.ids) != 21 {
			t.Errorf("%d calls with %d keys, want 21 of each", len(b.told()), len(b.ids))
		}
	})
}

// away is an error of a breaker, as this package sees it: it does not import one.
type away struct{ retryAfter time.Duration }

func (*away) Error() string               { return "breaker is open" }
func (*away) Unavailable() bool           { return true }
func (a *away) RetryAfter() time.Duration { return a.retryAfter }

func TestANeighbourThatIsAwayIsWaitedForAndParksNothing(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		for name, err := range map[string]error{
			"an open breaker":        &url.Error{Op: "Post", URL: "http://bank", Err: &away{}},
			"a deadline, so it says": fmt.Errorf("%w: %w", &away{}, context.DeadlineExceeded),
			"nobody listens":         &url.Error{Op: "Post", URL: "http://bank", Err: syscall.ECONNREFUSED},
			"half an answer":         fmt.Errorf("read the answer: %w", io.ErrUnexpectedEOF),
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				log, db, b := newLog(1), open(t), &bank{}
				b.answer(failing(err))
				r := start(t, quick(log, b.processor(db.Write())))
				log.Store("account", "ann", payment(1))
				log.Store("account", "bob", payment(1))
				until(t, "more tries than an event has", func() bool { return status(t, r, "tell").GetErrors() > 10 })
				if s := status(t, r, "tell"); s.GetParkedEntities() != 0 || s.GetShards()[0].GetState() != "retrying" {
					t.Errorf("the processor is %v", s)
				}
				if got := b.told(); !slices.Equal(got, []string{"ann:1"}) {
					t.Errorf("told %v: what stands before the event that waits must go on, once", got)
				}
				b.answer(nil)
				await(t, r, "tell", log.Token())
				if got := b.told(); !slices.Equal(got, []string{"ann:1", "bob:1"}) {
					t.Errorf("told %v, each must be told once", got)
				}
			})
		}
	})
}

func TestAShardWaitsAsLongAsTheErrorAsks(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db, b := newLog(1), open(t), &bank{}
		b.answer(failing(&away{retryAfter: time.Hour}))
		r := start(t, quick(log, b.processor(db.Write())))
		before := time.Now()
		log.Store("account", "bob", payment(1))
		until(t, "bob is tried", func() bool { return status(t, r, "tell").GetErrors() > 0 })
		if at := status(t, r, "tell").GetShards()[0].GetRetryAt().AsTime(); at.Before(before.Add(time.Minute).Truncate(time.Millisecond)) || at.After(time.Now().Add(time.Minute)) {
			t.Errorf("it is tried again at %v, want a minute after %v: the longest that an error may ask for", at, before)
		}
	})
}

// A handler that runs out of its time says nothing about the event.
func TestACallThatRunsOutOfTimeIsRepeatedAndParksNothing(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db, b := newLog(1), open(t), &bank{}
		goOn := make(chan struct{})
		b.answer(func(ctx context.Context, _ string) error {
			<-ctx.Done()
			<-goOn
			return ctx.Err()
		})
		var said syncBuffer
		cfg := quick(log, b.processor(db.Write()))
		cfg.MaxTime, cfg.HandlerTimeout, cfg.Logger = time.Millisecond, 30*time.Millisecond, slog.New(slog.NewTextHandler(&said, nil))
		r := start(t, cfg)
		token := log.Store("account", "bob", payment(1))
		until(t, "it is named in the log", func() bool { return strings.Contains(said.String(), "whom it calls is slow") })
		close(goOn)
		until(t, "more tries than an event has", func() bool { return status(t, r, "tell").GetErrors() > 10 })
		b.answer(nil)
		await(t, r, "tell", token)
		if s := status(t, r, "tell"); s.GetParkedEntities() != 0 || len(b.ids) != 1 {
			t.Errorf("told %v, the processor is %v", b.told(), s)
		}
	})
}

func TestANeighboursVerdictParksItsEntityUntilARetry(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db, b := newLog(1), open(t), &bank{}
		b.answer(failing(errors.New("there is no such account")))
		r := start(t, quick(log, b.processor(db.Write())))
		for n := range 3 {
			log.Store("account", "bob", payment(int64(n)))
			log.Store("account", "ann", payment(int64(n)))
		}
		await(t, r, "tell", log.Token())
		if s := status(t, r, "tell"); s.GetParkedEntities() != 1 || s.GetParkedCommands() != 3 {
			t.Errorf("the processor is %v", s)
		}
		if err := r.Retry(within(t), "tell", "account", "bob"); err == nil || !strings.Contains(err.Error(), "no such account") {
			t.Errorf("a retry that fails again: %v", err)
		}
		b.answer(failing(&away{}))
		if err := r.Retry(within(t), "tell", "account", "bob"); err == nil || !strings.Contains(err.Error(), "breaker is open") {
			t.Errorf("a retry while the neighbour is away: %v", err)
		}
		b.answer(nil)
		if err := r.Retry(within(t), "tell", "account", "bob"); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(b.told(), " "); got != "ann:0 ann:1 ann:2 bob:0 bob:1 bob:2" {
			t.Errorf("told %s", got)
		}
		if s := status(t, r, "tell"); s.GetParkedCommands() != 0 {
			t.Errorf("after the retry the processor is %v", s)
		}
	})
}

// The call was made, the commit behind it failed: nobody knows, so it is made again, with the same key.
func TestACallWhoseCommitFailedComesAgain(t *testing.T) {
	t.Parallel()
	log, db, b := newLog(1), openFile(t), &bank{}
	var mu sync.Mutex
	failures := 3
	faulty := openFaulty(t, db, "FULL", func(what string, done bool) error {
		mu.Lock()
		defer mu.Unlock()
		if what != "commit" || done || len(b.told()) == 0 || failures == 0 {
			return nil
		}
		failures--
		return driver.ErrBadConn
	})
	cfg := quick(log, b.processor(faulty))
	cfg.MaxAttempts = 10
	r := start(t, cfg)
	await(t, r, "tell", log.Store("account", "ann", payment(1)))
	if got := b.told(); len(got) != 4 || len(b.ids) != 1 {
		t.Errorf("told %v with %d keys, want it four times with one", got, len(b.ids))
	}
}

// No transaction is open while a call runs: others on the same file go on.
func TestACallThatHangsHoldsUpNobodyElse(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db, b := newLog(2), open(t), &bank{}
		called, hang := make(chan struct{}), make(chan struct{})
		b.answer(func(context.Context, string) error {
			called <- struct{}{}
			<-hang
			return nil
		})
		r := start(t, quick(log, b.processor(db.Write()), readside.SQL("balances", db.Write(), readside.On(addUp))))
		first := log.Store("account", "ann", payment(1))
		<-called
		for range 20 {
			await(t, r, "balances", log.Store("account", "ann", payment(1)))
		}
		if got := cents(t, db.Read(), "ann"); got != 21 {
			t.Errorf("ann has %d, want 21", got)
		}
		b.answer(nil)
		close(hang)
		await(t, r, "tell", first)
	})
}

func TestAWrongAtLeastOnceIsNamed(t *testing.T) {
	t.Parallel()
	defer func() {
		if cause := fmt.Sprint(recover()); !strings.Contains(cause, "AtLeastOnce: processor \"tell\" has no database") {
			t.Errorf("got %s", cause)
		}
	}()
	(&bank{}).processor(nil)
}
