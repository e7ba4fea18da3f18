package readside_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/readside"
	"github.com/skerryhq/skerry/readside/postgres"
	"github.com/skerryhq/skerry/readside/postgres/postgrestest"
	"github.com/skerryhq/skerry/readside/readsidetest"
)

// This file is about what only a database of several processes knows: workers that are left over, sessions that
// are ended, servers that crash. It runs on PostgreSQL.

// ledger counts what is out of order while handlers run.
type ledger struct {
	mu    sync.Mutex
	wrong []string
}

// write stores each version once, and notes one that does not follow the one before.
func (g *ledger) write(ctx context.Context, tx *sql.Tx, ev readside.Event[*wrapperspb.Int64Value]) error {
	var last int64
	if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM history WHERE account = $1`, ev.EntityID).Scan(&last); err != nil {
		return err
	}
	if int64(ev.Version) != last+1 {
		g.mu.Lock()
		g.wrong = append(g.wrong, fmt.Sprintf("version %d of %s came after version %d", ev.Version, ev.EntityID, last))
		g.mu.Unlock()
	}
	return addRow(ctx, tx, ev)
}

// check compares the rows with what was stored: each event once, none missing.
func (g *ledger) check(t *testing.T, db rows, want map[string]int64) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range g.wrong {
		t.Error(w)
	}
	for account, events := range want {
		var count, last int64
		if err := db.Read().QueryRowContext(t.Context(), `SELECT COUNT(*), COALESCE(MAX(version), 0) FROM history WHERE account = $1`, account).Scan(&count, &last); err != nil {
			t.Fatal(err)
		}
		if count != events || last != events {
			t.Errorf("%s has %d events up to version %d, want %d", account, count, last, events)
		}
	}
}

// gate lets a test stop a worker before or after the n-th thing that it sends.
type gate struct {
	at      atomic.Int64
	sent    atomic.Int64
	entered chan struct{}
	leave   chan struct{}
}

func newGate() *gate { return &gate{entered: make(chan struct{}), leave: make(chan struct{})} }

func (g *gate) pass(string, bool) error {
	// Whoever sets at may be a moment later than the n-th.
	if n, at := g.sent.Add(1), g.at.Load(); at > 0 && n >= at && g.at.CompareAndSwap(at, 0) {
		close(g.entered)
		<-g.leave
	}
	return nil
}

// A worker is stopped at each thing that it sends; another process takes its shards over and goes on; then
// the first one wakes up and wants to go on, too.
func TestALeftoverWorkerCannotCommit(t *testing.T) {
	t.Parallel()
	for point := int64(1); point <= 40; point += 4 {
		t.Run(fmt.Sprint("stopped at ", point), func(t *testing.T) {
			t.Parallel()
			// The server ends a session that does nothing within a transaction, as it would end that of a frozen process. The tables are
			// made without that limit.
			patient := server.URL(t)
			log, db, g, books := newLog(2), openURL(t, patient), newGate(), &ledger{}
			stop(t, start(t, quick(log, readside.SQL("history", db.Write(), readside.On(books.write)))))
			url := patient + "&idle_in_transaction_session_timeout=300ms&lock_timeout=50ms"
			writing := openFaulty(t, &database{db.DB, url}, "", g.pass)
			frozen := start(t, quick(log, readside.SQL("history", writing, readside.On(books.write))))
			g.at.Store(g.sent.Load() + point)
			want := map[string]int64{}
			stored := make(chan struct{})
			go func() {
				defer close(stored)
				for n := range 30 {
					log.Store("account", accountID(n%modelAccounts), payment(1), payment(2))
				}
			}()
			for n := range 30 {
				want[accountID(n%modelAccounts)] += 2
			}
			<-g.entered
			<-stored
			next := start(t, quick(log, readside.SQL("history", openURL(t, url).Write(), readside.On(books.write))))
			await(t, next, "history", log.Token())
			close(g.leave)
			for n := range 10 { // both want to follow
				want[accountID(n%modelAccounts)]++
				log.Store("account", accountID(n%modelAccounts), payment(3))
			}
			await(t, frozen, "history", log.Token())
			await(t, next, "history", log.Token())
			books.check(t, db, want)
		})
	}
}

// Any thing that the worker sends may find that the server has just ended its session.
func TestRowsAreTheFoldWhenTheSessionIsEndedAtAnyStatement(t *testing.T) {
	t.Parallel()
	url := server.URL(t)
	log, db, books := newLog(2), openURL(t, url), &ledger{}
	var sent, ended atomic.Int64
	var ending atomic.Bool
	victims := &database{db.DB, url + "&application_name=victim-" + fmt.Sprint(rand.Uint32())}
	name := victims.url[len(url)+len("&application_name="):]
	writing := openFaulty(t, victims, "", func(what string, done bool) error {
		if sent.Add(1); !ending.Load() || what == "connect" || rand.IntN(16) > 0 {
			return nil
		}
		var n int64
		err := db.Write().QueryRowContext(t.Context(), `SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1`, name).Scan(&n)
		ended.Add(n)
		return err
	})
	r := start(t, quick(log, readside.SQL("history", writing, readside.On(books.write)), readside.SQL("balances", writing, readside.On(addUp))))
	ending.Store(true) // a start is not repeated
	want := map[string]int64{}
	for n := 0; ended.Load() < 100 && n < 5000; n++ {
		account := accountID(n % modelAccounts)
		want[account]++
		log.Store("account", account, payment(1))
		if n%5 == 0 {
			await(t, r, "history", log.Token())
		}
	}
	ending.Store(false)
	await(t, r, "history", log.Token())
	await(t, r, "balances", log.Token())
	books.check(t, db, want)
	for account, events := range want {
		if got := cents(t, db.Read(), account); got != events {
			t.Errorf("%s has a balance of %d, want %d", account, got, events)
		}
	}
	if ended.Load() < 100 {
		t.Errorf("only %d sessions were ended", ended.Load())
	}
	t.Logf("%d sessions ended, %d things sent", ended.Load(), sent.Load())
}

func TestRowsAreTheFoldWhenTheServerCrashes(t *testing.T) {
	t.Parallel()
	own := postgrestest.ForTest(t)
	url := own.URL(t)
	log, db, books := newLog(3), openURL(t, url), &ledger{}
	cfg := quick(log, readside.SQL("history", db.Write(), readside.On(books.write)))
	r := start(t, cfg)
	other := start(t, quick(log, readside.SQL("history", openURL(t, url).Write(), readside.On(books.write))))
	r.Assign([]uint32{0, 1})
	other.Assign([]uint32{1, 2}) // they fight for one
	want := map[string]int64{}
	ctx, cancel := context.WithCancel(t.Context())
	written := make(chan struct{})
	go func() {
		defer close(written)
		for n := 0; ctx.Err() == nil; n++ {
			want[accountID(n%modelAccounts)]++
			log.Store("account", accountID(n%modelAccounts), payment(1))
			<-time.After(500 * time.Microsecond)
		}
	}()
	for n := range 4 {
		await(t, r, "history", log.Token())
		if n%2 == 0 {
			own.Crash(t)
		} else {
			own.Shut(t)
		}
		own.Start(t)
	}
	cancel()
	<-written
	await(t, r, "history", log.Token())
	await(t, other, "history", log.Token())
	books.check(t, db, want)
	if s := status(t, r, "history"); s.GetParkedCommands() != 0 {
		t.Errorf("%d commands are parked: an outage is no command's fault", s.GetParkedCommands())
	}
}

func TestLostRacesBetweenTransactionsAreTriedAgainAndNeverPark(t *testing.T) {
	t.Parallel()
	for name, state := range map[string]string{"a serialization failure": "40001", "a deadlock": "40P01", "a lock that is not got": "55P03", "a standby": "25006"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, db := newLog(1), openDatabase(t)
			var tries atomic.Int64
			r := start(t, quick(log, readside.SQL("balances", db.Write(), readside.On(func(ctx context.Context, tx *sql.Tx, ev readside.Event[*wrapperspb.Int64Value]) error {
				if tries.Add(1) < 12 { // more than MaxAttempts
					_, err := tx.ExecContext(ctx, `DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '`+state+`'; END $$`)
					return err
				}
				return addUp(ctx, tx, ev)
			}))))
			await(t, r, "balances", log.Store("account", "ann", payment(5)))
			if got, s := cents(t, db.Read(), "ann"), status(t, r, "balances"); got != 5 || s.GetParkedCommands() != 0 {
				t.Errorf("ann has %d, %d commands are parked", got, s.GetParkedCommands())
			}
		})
	}
}

// Two processes change two rows that they share, each in its own order.
func TestADeadlockBetweenHandlersEnds(t *testing.T) {
	t.Parallel()
	log, url := newLog(2), server.URL(t)
	db := openURL(t, url)
	var meet sync.WaitGroup
	meet.Add(2)
	crossing := func(rows ...string) readside.SQLRule {
		var once sync.Once
		return readside.On(func(ctx context.Context, tx *sql.Tx, ev readside.Event[*wrapperspb.Int64Value]) error {
			for i, row := range rows {
				if _, err := upsertBalance.Exec(ctx, tx, row, ev.Msg.GetValue(), int64(ev.Version)); err != nil {
					return err
				}
				if i == 0 {
					once.Do(func() { meet.Done(); meet.Wait() })
				}
			}
			return nil
		})
	}
	a := start(t, quick(log, readside.SQL("sums", db.Write(), crossing("left", "right"))))
	b := start(t, quick(log, readside.SQL("sums", openURL(t, url).Write(), crossing("right", "left"))))
	a.Assign([]uint32{0})
	b.Assign([]uint32{1})
	log.Store("account", accountIn(log, 0), payment(1))
	log.Store("account", accountIn(log, 1), payment(10))
	await(t, a, "sums", log.Token())
	if left, right := cents(t, db.Read(), "left"), cents(t, db.Read(), "right"); left != 11 || right != 11 {
		t.Errorf("the sums are %d and %d, want 11", left, right)
	}
}

// Two workers that both follow sixteen shards move their offsets in one order, so neither waits for the other in a circle.
func TestWorkersWithOverlappingShardsDoNotDeadlock(t *testing.T) {
	t.Parallel()
	own := postgrestest.ForTest(t)
	url := own.URL(t)
	log, db, books := newLog(16), openURL(t, url), &ledger{}
	a := start(t, quick(log, readside.SQL("history", db.Write(), readside.On(books.write))))
	b := start(t, quick(log, readside.SQL("history", openURL(t, url).Write(), readside.On(books.write))))
	want := map[string]int64{}
	for range 60 {
		var commands []readsidetest.Command
		for n := range 40 {
			want[accountID(n)]++
			commands = append(commands, readsidetest.Command{Type: "account", ID: accountID(n), Events: events(1)})
		}
		log.StoreAll(commands...)
		<-time.After(time.Millisecond)
	}
	await(t, a, "history", log.Token())
	await(t, b, "history", log.Token())
	books.check(t, db, want)
	var deadlocks int64
	if err := db.Read().QueryRowContext(t.Context(), `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`).Scan(&deadlocks); err != nil || deadlocks != 0 {
		t.Errorf("the server found %d deadlocks, %v", deadlocks, err)
	}
}

// Two processes exchange shards at random while commands flow; for a while a shard may be followed by both, or by none.
func TestShardsThatMoveBetweenProcessesLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	const shards, rounds, accounts = 8, 40, 32
	url := server.URL(t)
	log, db, books := newLog(shards), openURL(t, url), &ledger{}
	runners := []*readside.Runner{
		start(t, readside.Config{Source: log, Processors: []readside.Processor{readside.SQL("history", db.Write(), readside.On(books.write))}}),
		start(t, readside.Config{Source: log, Processors: []readside.Processor{readside.SQL("history", openURL(t, url).Write(), readside.On(books.write))}}),
	}
	plan, want := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1)), map[string]int64{}
	var lags []time.Duration
	for range rounds {
		shuffle(plan, runners, shards)
		for range 5 {
			var commands []readsidetest.Command
			for range 8 {
				id := accountID(plan.IntN(accounts))
				want[id]++
				commands = append(commands, readsidetest.Command{Type: "account", ID: id, Events: events(1)})
			}
			log.StoreAll(commands...)
			<-time.After(time.Millisecond)
		}
		each := make([][]uint32, 2)
		for shard := range uint32(shards) {
			n := plan.IntN(2)
			each[n] = append(each[n], shard)
		}
		runners[0].Assign(append([]uint32{}, each[0]...))
		runners[1].Assign(append([]uint32{}, each[1]...))
		began := time.Now()
		await(t, runners[plan.IntN(2)], "history", log.Token())
		lags = append(lags, time.Since(began))
	}
	books.check(t, db, want)
	slices.Sort(lags)
	t.Logf("caught up after a shuffle of %d shards within %v in the median, %v at most", shards, lags[len(lags)/2], lags[len(lags)-1])
}

// shuffle gives each shard to one runner, to both or to none.
func shuffle(plan *rand.Rand, runners []*readside.Runner, shards uint32) {
	for _, r := range runners {
		mine := []uint32{}
		for shard := range shards {
			if plan.IntN(2) == 0 {
				mine = append(mine, shard)
			}
		}
		r.Assign(mine)
	}
}

// Once the tables are there, a user needs no right to make any.
func TestAUserWhoMayOnlyChangeRowsRunsProcessors(t *testing.T) {
	t.Parallel()
	own := postgrestest.ForTest(t)
	owner := own.URL(t)
	db := openURL(t, owner)
	log := newLog(1)
	r := start(t, quick(log, readside.SQL("balances", db.Write(), readside.On(addUp))))
	await(t, r, "balances", log.Store("account", "ann", payment(1)))
	stop(t, r)

	admin, err := postgres.Open(t.Context(), postgres.Config{URL: own.Admin()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	at, err := url.Parse(owner)
	if err != nil {
		t.Fatal(err)
	}
	schema := at.Query().Get("search_path")
	if _, err := admin.Write().ExecContext(t.Context(), `CREATE ROLE clerk LOGIN PASSWORD 'clerk'; GRANT USAGE ON SCHEMA `+schema+` TO clerk;
		GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA `+schema+` TO clerk`); err != nil {
		t.Fatal(err)
	}
	at.User = url.UserPassword("clerk", "clerk")
	clerk := openURL(t, at.String())
	r = start(t, quick(log, readside.SQL("balances", clerk.Write(), readside.On(addUp))))
	await(t, r, "balances", log.Store("account", "ann", payment(1)))
	if got := cents(t, clerk.Read(), "ann"); got != 2 {
		t.Errorf("ann has %d, want 2", got)
	}
}
