package readside_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/readside"
	"github.com/skerryhq/skerry/readside/readsidetest"
)

// TestRowsAreTheFoldOfTheLogUnderRandomFaults runs random schedules of appends, failing
// handlers, lost connections (before and after any statement, commits with an unknown outcome too),
// unreadable logs, shards that come and go, restarts, and two runners that fight for one
// processor. Afterwards all is repaired, and the rows must be the fold of the log: nothing missing,
// doubled or out of order.
func TestRowsAreTheFoldOfTheLogUnderRandomFaults(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SKERRY_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SKERRY_SEED: %v", err)
		}
	}
	t.Logf("SKERRY_SEED=%d", seed)
	schedules := 24
	if testing.Short() {
		schedules = 4
	}
	onEach(t, func(t *testing.T, open opener) {
		for n := range schedules {
			t.Run(fmt.Sprint("schedule ", n), func(t *testing.T) {
				t.Parallel()
				newModel(t, seed, uint64(n), open).run()
			})
		}
	})
}

// model is one schedule's world.
type model struct {
	t    *testing.T
	plan *rand.Rand // of the schedule
	log  *readsidetest.Log
	file rows
	db   *sql.DB
	cfg  readside.Config

	mu      sync.Mutex
	luck    *rand.Rand // of faults
	faults  float64    // chance that a statement loses its connection
	errors  float64    // chance that a handler fails
	unread  float64    // chance that a read fails
	poison  map[string]bool
	wrong   []string
	lost    atomic.Int64
	expects map[string][]int64 // account → cents by order
}

const modelShards, modelAccounts = 3, 8

func newModel(t *testing.T, seed, n uint64, open opener) *model {
	plan := rand.New(rand.NewPCG(seed, n))
	m := &model{t: t, plan: plan, luck: rand.New(rand.NewPCG(n, seed)), log: newLog(modelShards), poison: map[string]bool{}, expects: map[string][]int64{}}
	m.file = open(t)
	m.db = openFaulty(t, m.file, "OFF", m.fault)
	m.log.FailReads(func(uint32, uint64) error {
		if m.chance(&m.unread) {
			return errors.New("the disk stutters")
		}
		return nil
	})
	m.cfg = readside.Config{
		Source: m.log, MaxAttempts: 3, MaxParked: 6, MinBackoff: 50 * time.Microsecond, MaxBackoff: time.Millisecond,
		MaxEvents: 1 + plan.IntN(30), PageBytes: 1 + plan.IntN(2000), BufferBytes: 1 + plan.IntN(8000),
		MaxTime: time.Duration(1+plan.IntN(2000)) * time.Microsecond,
		Processors: []readside.Processor{
			readside.SQL("history", m.db, readside.On(m.write)),
			readside.SQL("balances", m.db, readside.On(addUp, readside.OfType("account"))),
		},
	}
	return m
}

func (m *model) chance(of *float64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.luck.Float64() < *of
}

func (m *model) set(of *float64, chance float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	*of = chance
}

func (m *model) fault(string, bool) error {
	if m.chance(&m.faults) {
		m.lost.Add(1)
		return driver.ErrBadConn
	}
	return nil
}

// write is the handler that knows what must hold: each version once, in order. The database
// would refuse a doubled one.
func (m *model) write(ctx context.Context, tx *sql.Tx, ev readside.Event[*wrapperspb.Int64Value]) error {
	m.mu.Lock()
	poisoned := m.poison[ev.EntityID]
	m.mu.Unlock()
	if poisoned || m.chance(&m.errors) {
		return errors.New("a defect")
	}
	var last int64
	if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM history WHERE account = $1`, ev.EntityID).Scan(&last); err != nil {
		return err
	}
	if int64(ev.Version) <= last {
		m.mu.Lock()
		m.wrong = append(m.wrong, fmt.Sprintf("version %d of %s came after version %d", ev.Version, ev.EntityID, last))
		m.mu.Unlock()
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO history (account, version, cents) VALUES ($1, $2, $3)`, ev.EntityID, int64(ev.Version), ev.Msg.GetValue())
	return err
}

func (m *model) run() {
	var runners []*readside.Runner
	for range 60 {
		switch m.plan.IntN(14) {
		case 0:
			runners = m.restart(runners)
		case 1:
			m.set(&m.faults, m.plan.Float64()*0.1)
		case 2:
			m.set(&m.errors, m.plan.Float64()*0.2)
		case 3:
			m.set(&m.unread, m.plan.Float64()*0.5)
		case 4:
			m.setPoison(m.plan.IntN(2) == 0)
		case 5:
			m.log.Serve(uint32(m.plan.IntN(modelShards)), m.plan.IntN(2) == 0)
		case 6:
			m.log.Claim(uint32(m.plan.IntN(modelShards)))
		case 7:
			if len(runners) > 0 {
				m.retryAll(runners[0])
			}
		default:
			m.append()
		}
		if m.plan.IntN(3) == 0 {
			<-time.After(time.Duration(m.plan.IntN(2000)) * time.Microsecond) // lets the schedules differ
		}
	}
	m.repair(runners)
}

// restart changes how many runners there are: none, one, or two that fight.
func (m *model) restart(runners []*readside.Runner) []*readside.Runner {
	for _, r := range runners {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if m.plan.IntN(2) == 0 {
			cancel() // in the midst of a transaction
		}
		_ = r.Stop(ctx)
		cancel()
	}
	var next []*readside.Runner
	m.cfg.Logger = quiet()
	for range m.plan.IntN(3) {
		if r, err := readside.Start(m.t.Context(), m.cfg); err == nil { // it may fail: the database is away
			next = append(next, r)
		}
	}
	return next
}

func (m *model) setPoison(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.poison[accountID(m.plan.IntN(modelAccounts))] = on
}

func accountID(n int) string { return fmt.Sprint("account-", n) }

// append stores a few commands, some with several events, some with none, some with one that nobody takes.
func (m *model) append() {
	var commands []readsidetest.Command
	m.mu.Lock()
	for range 1 + m.plan.IntN(12) {
		c := readsidetest.Command{Type: "account", ID: accountID(m.plan.IntN(modelAccounts))}
		for range m.plan.IntN(4) {
			if m.plan.IntN(5) == 0 {
				c.Events = append(c.Events, proto.Message(wrapperspb.String("a note")))
				continue
			}
			cents := m.plan.Int64N(100)
			m.expects[c.ID] = append(m.expects[c.ID], cents)
			c.Events = append(c.Events, payment(cents))
		}
		commands = append(commands, c)
	}
	m.mu.Unlock()
	m.log.StoreAll(commands...)
}

func (m *model) retryAll(r *readside.Runner) {
	for n := range modelAccounts {
		ctx, cancel := context.WithTimeout(m.t.Context(), 20*time.Millisecond)
		_ = r.Retry(ctx, "history", "account", accountID(n)) // what is not parked is refused
		cancel()
	}
}

// repair ends all faults and lets one runner catch up.
func (m *model) repair(runners []*readside.Runner) {
	for _, r := range runners {
		stop(m.t, r)
	}
	m.set(&m.faults, 0)
	m.set(&m.errors, 0)
	m.set(&m.unread, 0)
	m.mu.Lock()
	clear(m.poison)
	m.mu.Unlock()
	for n := range modelShards {
		m.log.Serve(uint32(n), true)
	}
	r := start(m.t, m.cfg)
	for end, last := within(m.t), error(nil); ; {
		ctx, cancel := context.WithTimeout(m.t.Context(), 50*time.Millisecond)
		err := r.WaitFor(ctx, "history", m.log.Token())
		cancel()
		parked, listErr := r.Parked(m.t.Context(), "history")
		if listErr != nil {
			m.t.Fatal(listErr)
		}
		if err == nil && len(parked.GetEntities()) == 0 {
			break
		}
		for _, e := range parked.GetEntities() {
			// A session that was lost before may still hold a row: then it is asked once more.
			if err := r.Retry(end, "history", e.GetType(), e.GetId()); err != nil && !errors.Is(err, readside.ErrNotParked) {
				last = err
			}
		}
		if end.Err() != nil {
			m.t.Fatalf("it did not catch up; the last retry that failed: %v", last)
		}
	}
	await(m.t, r, "balances", m.log.Token())
	m.compare()
}

func (m *model) compare() {
	for _, w := range m.wrong {
		m.t.Error(w)
	}
	for id, want := range m.expects {
		m.compareAccount(id, want)
	}
}

func (m *model) compareAccount(id string, want []int64) {
	rows, err := m.file.Read().QueryContext(m.t.Context(), `SELECT cents FROM history WHERE account = $1 ORDER BY version`, id)
	if err != nil {
		m.t.Fatal(err)
	}
	defer rows.Close()
	var got []int64
	var sum int64
	for rows.Next() {
		var c int64
		if err := rows.Scan(&c); err != nil {
			m.t.Fatal(err)
		}
		got = append(got, c)
		sum += c
	}
	if rows.Err() != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		m.t.Errorf("%s has %v (%v), want %v", id, got, rows.Err(), want)
	}
	if balance := cents(m.t, m.file.Read(), id); balance != sum {
		m.t.Errorf("%s has a balance of %d, want %d", id, balance, sum)
	}
}
