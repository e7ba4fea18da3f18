package readside_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
	"github.com/skerryhq/skerry/readside"
	"github.com/skerryhq/skerry/readside/readsidetest"
)

// defects makes a handler fail for some accounts.
type defects struct {
	mu sync.Mutex
	of map[string]error
}

func (d *defects) set(account string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of == nil {
		d.of = map[string]error{}
	}
	d.of[account] = err
}

func (d *defects) get(account string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.of[account]
}

// processor adds payments up unless there is a defect; one that is "panic" panics.
func (d *defects) processor(name string, db *sql.DB) readside.Processor {
	return readside.SQL(name, db, readside.On(func(ctx context.Context, tx *sql.Tx, ev readside.Event[*wrapperspb.Int64Value]) error {
		err := d.get(ev.EntityID)
		if err != nil && err.Error() == "panic" {
			panic("no such row")
		}
		return errors.Join(err, addUp(ctx, tx, ev))
	}))
}

func quick(log readside.Source, processors ...readside.Processor) readside.Config {
	return readside.Config{
		Source: log, Processors: processors, MaxAttempts: 3, MinBackoff: 100 * time.Microsecond, MaxBackoff: time.Millisecond,
		HandlerTimeout: patience, // a busy machine makes no handler slow
	}
}

func status(t testing.TB, r *readside.Runner, processor string) *adminv1.Processor {
	t.Helper()
	all, err := r.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all.GetProcessors() {
		if p.GetName() == processor {
			return p
		}
	}
	t.Fatalf("no status of %s", processor)
	return nil
}

// until waits for something that nobody signals.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for ctx := within(t); !holds(); {
		select {
		case <-ctx.Done():
			t.Fatalf("it never happened: %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

func TestDefectParksItsEntityAndNothingElse(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		for name, defect := range map[string]error{"an error": errors.New("no such row"), "a panic": errors.New("panic")} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				log, db, d := newLog(2), open(t), &defects{}
				d.set("bob", defect)
				r := start(t, quick(log, d.processor("balances", db.Write()), readside.SQL("other", open(t).Write(), readside.On(addUp))))
				for n := range 5 {
					log.StoreAll(
						readsidetest.Command{Type: "account", ID: "ann", Events: events(1)},
						readsidetest.Command{Type: "account", ID: "bob", Events: events(n + 1)},
					)
				}
				await(t, r, "balances", log.Token())
				if ann, bob := cents(t, db.Read(), "ann"), cents(t, db.Read(), "bob"); ann != 5 || bob != 0 {
					t.Errorf("ann has %d and bob %d, want 5 and 0", ann, bob)
				}
				parked, err := r.Parked(t.Context(), "balances")
				if err != nil || len(parked.GetEntities()) != 1 {
					t.Fatalf("parked is %v, %v", parked, err)
				}
				if e := parked.GetEntities()[0]; e.GetId() != "bob" || e.GetCommands() != 5 || e.GetAttempts() != 3 || !strings.Contains(e.GetError(), "no such row") {
					t.Errorf("parked is %v", e)
				}
				if s := status(t, r, "other"); s.GetErrors() != 0 || s.GetParkedEntities() != 0 {
					t.Errorf("the other processor is disturbed: %v", s)
				}

				if err := r.Retry(within(t), "balances", "account", "bob"); !errors.Is(err, entity.ErrFailed) {
					t.Errorf("a retry before the repair gives %v", err)
				}
				d.set("bob", nil)
				if err := r.Retry(within(t), "balances", "account", "bob"); err != nil {
					t.Error(err)
				}
				await(t, r, "balances", log.Store("account", "bob", payment(100)))
				if bob := cents(t, db.Read(), "bob"); bob != 1+3+6+10+15+100 {
					t.Errorf("bob has %d, want 135", bob)
				}
				if err := r.Retry(within(t), "balances", "account", "bob"); !errors.Is(err, readside.ErrNotParked) {
					t.Errorf("a retry of what is not parked gives %v", err)
				}
			})
		}
	})
}

func TestRetryGoesAsFarAsItCan(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db := newLog(1), open(t)
		var worst atomic.Int64
		worst.Store(1)
		r := start(t, quick(log, readside.SQL("balances", db.Write(), readside.On(func(ctx context.Context, tx *sql.Tx, ev readside.Event[*wrapperspb.Int64Value]) error {
			if ev.Msg.GetValue() >= worst.Load() {
				return fmt.Errorf("%d is too much", ev.Msg.GetValue())
			}
			return addUp(ctx, tx, ev)
		}))))
		for n := range int64(4) {
			log.Store("account", "bob", payment(n+1))
		}
		await(t, r, "balances", log.Token())
		worst.Store(3)
		if err := r.Retry(within(t), "balances", "account", "bob"); err == nil || !strings.Contains(err.Error(), "offset 3") {
			t.Errorf("the retry gives %v, want it to stop at offset 3", err)
		}
		parked, err := r.Parked(t.Context(), "balances")
		if err != nil || parked.GetEntities()[0].GetCommands() != 2 || parked.GetEntities()[0].GetError() == "" {
			t.Errorf("parked is %v, %v", parked, err)
		}
		if bob := cents(t, db.Read(), "bob"); bob != 1+2 {
			t.Errorf("bob has %d, want 3", bob)
		}
	})
}

func TestParkedEntityIsRememberedAfterARestart(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db, d := newLog(1), open(t), &defects{}
		d.set("bob", errors.New("no such row"))
		cfg := quick(log, d.processor("balances", db.Write()))
		r := start(t, cfg)
		await(t, r, "balances", log.Store("account", "bob", payment(1)))
		stop(t, r)
		d.set("bob", nil)
		r = start(t, cfg)
		await(t, r, "balances", log.Store("account", "bob", payment(2)))
		if bob := cents(t, db.Read(), "bob"); bob != 0 {
			t.Errorf("bob has %d: a later event overtook a parked one", bob)
		}
		if err := r.Retry(within(t), "balances", "account", "bob"); err != nil || cents(t, db.Read(), "bob") != 3 {
			t.Errorf("after the retry bob has %d (%v), want 3", cents(t, db.Read(), "bob"), err)
		}
	})
}

func TestShardWaitsWhenTooMuchIsParked(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db, d := newLog(1), open(t), &defects{}
		d.set("bob", errors.New("no such row"))
		cfg := quick(log, d.processor("balances", db.Write()))
		cfg.MaxParked = 3
		r := start(t, cfg)
		for range 5 {
			log.Store("account", "bob", payment(1))
		}
		token := log.Store("account", "ann", payment(7))
		until(t, "the shard is blocked", func() bool { return status(t, r, "balances").GetShards()[0].GetState() == "blocked" })
		if s := status(t, r, "balances").GetShards()[0]; !strings.Contains(s.GetReason(), "MaxParked") || s.GetParkedCommands() != 3 {
			t.Errorf("the shard is %v", s)
		}
		d.set("bob", nil)
		if err := r.Retry(within(t), "balances", "account", "bob"); err != nil {
			t.Fatal(err)
		}
		await(t, r, "balances", token)
		if ann, bob := cents(t, db.Read(), "ann"), cents(t, db.Read(), "bob"); ann != 7 || bob != 5 {
			t.Errorf("ann has %d and bob %d, want 7 and 5", ann, bob)
		}
	})
}

func TestUnavailableWaitsAndNeverParks(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db, d := newLog(1), open(t), &defects{}
		d.set("bob", fmt.Errorf("the bank: %w", entity.ErrUnavailable))
		r := start(t, quick(log, d.processor("balances", db.Write())))
		token := log.StoreAll(
			readsidetest.Command{Type: "account", ID: "ann", Events: events(1)},
			readsidetest.Command{Type: "account", ID: "bob", Events: events(1)},
		)
		until(t, "more tries than an event has", func() bool { return status(t, r, "balances").GetErrors() > 10 })
		if s := status(t, r, "balances"); s.GetParkedEntities() != 0 || s.GetShards()[0].GetState() != "retrying" {
			t.Errorf("the processor is %v", s)
		}
		if ann := cents(t, db.Read(), "ann"); ann != 1 {
			t.Errorf("ann has %d: what stands before the event that waits must go on", ann)
		}
		d.set("bob", nil)
		await(t, r, "balances", token)
		if bob := cents(t, db.Read(), "bob"); bob != 1 {
			t.Errorf("bob has %d, want 1", bob)
		}
	})
}

func TestCommandThatFailsAtTheCommitIsFound(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db := newLog(2), open(t)
		if _, err := db.Write().ExecContext(t.Context(), `CREATE TABLE banks (name TEXT PRIMARY KEY);
		CREATE TABLE loans (account TEXT, bank TEXT REFERENCES banks DEFERRABLE INITIALLY DEFERRED)`); err != nil {
			t.Fatal(err)
		}
		r := start(t, quick(log, readside.SQL("balances", db.Write(), readside.On(addUp), readside.On(
			func(ctx context.Context, tx *sql.Tx, ev readside.Event[*wrapperspb.StringValue]) error {
				_, err := tx.ExecContext(ctx, `INSERT INTO loans (account, bank) VALUES ($1, $2)`, ev.EntityID, ev.Msg.GetValue())
				return err
			}))))
		for n := range 10 {
			log.Store("account", fmt.Sprint("account-", n), payment(1))
		}
		log.Store("account", "account-4", wrapperspb.String("a bank that is not there"))
		for n := range 10 {
			log.Store("account", fmt.Sprint("account-", n), payment(1))
		}
		await(t, r, "balances", log.Token())
		for n := range 10 {
			want := int64(2)
			if n == 4 {
				want = 1
			}
			if got := cents(t, db.Read(), fmt.Sprint("account-", n)); got != want {
				t.Errorf("account-%d has %d, want %d", n, got, want)
			}
		}
		if s := status(t, r, "balances"); s.GetParkedEntities() != 1 || s.GetParkedCommands() != 2 {
			t.Errorf("%d entities with %d commands are parked, want 1 with 2", s.GetParkedEntities(), s.GetParkedCommands())
		}
	})
}

func TestHandlerOverTheDeadlineIsNamedAndCounted(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		for name, heeds := range map[string]bool{"one that heeds its context": true, "one that does not": false} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				log, db, release := newLog(1), open(t), make(chan struct{})
				var said syncBuffer
				cfg := quick(log, readside.SQL("balances", db.Write(), readside.On(func(ctx context.Context, tx *sql.Tx, ev readside.Event[*wrapperspb.Int64Value]) error {
					switch {
					case ev.EntityID != "bob":
						return addUp(ctx, tx, ev)
					case heeds: // as a call to a service that hangs
						<-ctx.Done()
						return ctx.Err()
					}
					<-release
					return nil
				})))
				cfg.HandlerTimeout, cfg.MaxTime, cfg.MaxAttempts = 50*time.Millisecond, time.Millisecond, 2
				cfg.Logger = slog.New(slog.NewTextHandler(&said, nil))
				r := start(t, cfg)
				log.Store("account", "bob", payment(1))
				token := log.Store("account", "ann", payment(1))
				until(t, "the log names the handler and its event", func() bool {
					text := said.String()
					return strings.Contains(text, "HandlerTimeout") && strings.Contains(text, "test/0/1") && strings.Contains(text, "Int64Value")
				})
				close(release)
				await(t, r, "balances", token)
				parked, err := r.Parked(t.Context(), "balances")
				if err != nil {
					t.Fatal(err)
				}
				// On a busy machine the well one may have been too slow as well.
				of := slices.ContainsFunc(parked.GetEntities(), func(e *adminv1.ParkedEntity) bool { return e.GetId() == "bob" })
				if s := status(t, r, "balances"); s.GetSlowHandlers() == 0 || heeds && !of {
					t.Errorf("%d slow handlers; parked is %v", s.GetSlowHandlers(), parked)
				}
			})
		}
	})
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestBrokenLogStopsItsShardOnly(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		for name, edit := range map[string]func(*journal.Record){
			"a record missing":      func(r *journal.Record) { r.Number++ },
			"an offset missing":     func(r *journal.Record) { r.FirstOffset++ },
			"an epoch that falls":   func(r *journal.Record) { r.Epoch = 0 },
			"an event missing":      func(r *journal.Record) { r.Events++ },
			"an entry that is torn": func(r *journal.Record) { r.Body = r.Body[:len(r.Body)-3] },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				log, db := newLog(2), open(t)
				bob, ann := accountIn(log, 0), accountIn(log, 1)
				log.Store("account", bob, payment(1))
				log.Store("account", bob, payment(1))
				log.Break(0, 3, edit)
				r := start(t, quick(log, readside.SQL("balances", db.Write(), readside.On(addUp))))
				await(t, r, "balances", log.Store("account", ann, payment(1)))
				err := r.WaitFor(within(t), "balances", journal.Token{History: "test", Offsets: []journal.ShardOffset{{Shard: 0, Offset: 2}}})
				if !errors.Is(err, readside.ErrBehind) || !strings.Contains(err.Error(), "breaks its promise") {
					t.Errorf("waiting for the broken shard gives %v", err)
				}
				if s := status(t, r, "balances").GetShards(); s[0].GetState() != "halted" || s[1].GetState() != "following" {
					t.Errorf("the shards are %v", s)
				}
			})
		}
	})
}

// accountIn returns an account of a shard.
func accountIn(log *readsidetest.Log, shard uint32) string {
	for n := 0; ; n++ {
		if id := accountID(n); log.ShardOf("account", id) == shard {
			return id
		}
	}
}

// anotherWay is a log with the same history that holds other records, and more of them: a copy that was put back
// and written to.
func anotherWay() *readsidetest.Log {
	l := newLog(1)
	for range 5 {
		l.Store("account", "eve", payment(9))
	}
	return l
}

func TestAnotherHistoryOrALostEndStopsTheProcessor(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		db := open(t)
		cfg := quick(nil, readside.SQL("balances", db.Write(), readside.On(addUp)))
		log := newLog(1)
		log.Store("account", "ann", payment(1))
		cfg.Source = log
		r := start(t, cfg)
		await(t, r, "balances", log.Store("account", "ann", payment(1)))
		stop(t, r)

		for name, test := range map[string]struct {
			log  *readsidetest.Log
			says []string
		}{
			"another history": {func() *readsidetest.Log { l := newLog(1); l.SetHistory("restored"); return l }(), []string{"history test", "history restored", "Forget"}},
			"a log that went another way at the same length": {anotherWay(), []string{"another way", "shard 0", "offset 2", "Forget"}},
			"a lost end": {newLog(1), []string{"offset 2", "offset 0", "shard 0", "Forget"}},
		} {
			cfg.Source = test.log
			r := start(t, cfg)
			until(t, name+" halts it", func() bool { return status(t, r, "balances").GetState() == "halted" })
			for _, word := range test.says {
				if reason := status(t, r, "balances").GetReason(); !strings.Contains(reason, word) {
					t.Errorf("%s: the reason is %q, without %q", name, reason, word)
				}
			}
			stop(t, r)
		}
		if err := readside.Forget(t.Context(), db.Write(), "balances"); err != nil {
			t.Fatal(err)
		}
		r = start(t, cfg)
		await(t, r, "balances", cfg.Source.(*readsidetest.Log).Store("account", "bob", payment(1)))
	})
}

func TestUnknownEventIsParkedByThoseWhoMayWantIt(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		orders := entity.Define[account]("order", entity.Apply(func(a account, _ *wrapperspb.Int64Value) account { return a }))
		log, db := readsidetest.New(1, accounts, orders), open(t)
		r := start(t, quick(log,
			readside.SQL("any", db.Write(), readside.On(addUp)),
			readside.SQL("others", db.Write(), readside.On(addUp, readside.OfType("order"))),
		))
		token := log.Store("account", "ann", wrapperspb.Bool(true)) // no rule applies it
		await(t, r, "any", token)
		await(t, r, "others", token)
		if all, others := status(t, r, "any"), status(t, r, "others"); all.GetParkedEntities() != 1 || others.GetParkedEntities() != 0 {
			t.Errorf("%d and %d entities are parked, want 1 and 0", all.GetParkedEntities(), others.GetParkedEntities())
		}
		parked, err := r.Parked(t.Context(), "any")
		if err != nil || !strings.Contains(parked.GetEntities()[0].GetError(), "BoolValue") {
			t.Errorf("parked is %v, %v", parked, err)
		}
	})
}

// errDamaged is what SQLite says of a file with broken pages.
type errDamaged struct{}

func (errDamaged) Error() string { return "database disk image is malformed (11)" }
func (errDamaged) Code() int     { return 11 }

func TestADamagedDatabaseStopsTheProcessorWithTheRemedy(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"begin", "exec", "commit"} {
		log, db := newLog(1), openFile(t)
		var broken atomic.Bool
		writing := openFaulty(t, db, "OFF", func(what string, _ bool) error {
			if broken.Load() && strings.HasPrefix(what, at) {
				return errDamaged{}
			}
			return nil
		})
		r := start(t, quick(log, readside.SQL("balances", writing, readside.On(addUp))))
		await(t, r, "balances", log.Store("account", "ann", payment(1)))
		broken.Store(true)
		log.Store("account", "ann", payment(1))
		until(t, "it halts at "+at, func() bool { return status(t, r, "balances").GetState() == "halted" })
		if reason := status(t, r, "balances").GetReason(); !strings.Contains(reason, "move its file away") {
			t.Errorf("the reason is %q", reason)
		}
		stop(t, r)
	}
}

func TestARuleThatNoEventCanReachIsRefused(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		opened := entity.Define[account]("opened",
			entity.Upcast[account](func(old *wrapperspb.StringValue) *wrapperspb.BytesValue {
				return wrapperspb.Bytes([]byte(old.GetValue()))
			}),
			entity.Apply(func(a account, _ *wrapperspb.BytesValue) account { return a }))
		source, db := readsidetest.New(1, opened, accounts), open(t)
		for want, rule := range map[string]readside.SQLRule{
			"by now: give the rule for that": readside.On(func(context.Context, *sql.Tx, readside.Event[*wrapperspb.StringValue]) error { return nil }, readside.OfType("opened")),
			"no type stores that event":      readside.On(func(context.Context, *sql.Tx, readside.Event[*wrapperspb.BoolValue]) error { return nil }),
			`no entities of type "acount"`:   readside.On(addUp, readside.OfType("acount")),
		} {
			_, err := readside.Start(t.Context(), readside.Config{Source: source, Logger: quiet(), Processors: []readside.Processor{readside.SQL("x", db.Write(), rule)}})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
	})
}
