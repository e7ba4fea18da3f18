package readside

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// worker runs one processor: a feeder reads its shards' logs ahead, the worker's own
// goroutine commits what was read, events of many shards in one transaction. Both sleep while
// nothing changes.
type worker struct {
	name  string
	cfg   Config
	log   *slog.Logger
	store *store
	rules []SQLRule
	// outside is the processor's: its handlers run before the transaction.
	outside bool
	tails   []*tail
	lanes   []*lane

	wake   chan struct{} // for the worker
	lookUp chan struct{} // for the feeder
	abroad chan struct{} // for whoever looks how far other nodes are
	ours   *assignment

	// lookMu is taken where commands are served, so nothing else is done under it.
	lookMu sync.Mutex
	look   []*lane // for the feeder to look at

	mu      sync.Mutex
	stalled []*lane // the feeder waits for room
	bytes   int     // of records read and not committed
	offers  []*lane // for the worker, in the order in which they came
	loads   []*lane
	verbs   []*verb
	paused  bool
	pauseAt time.Time // when to ask whether it still is
	away    time.Time // no transaction before: the database is away
	awayErr error
	reason  string // why the whole processor is halted
	waits   int    // callers of WaitFor
	lookErr error  // why it is not known how far other nodes are

	// The feeder's alone.
	unread []*lane // reading failed

	// The worker's alone.
	resting  []*lane   // until their time
	restEnds time.Time // when the first of them goes on, or earlier
	steps    []step    // of the batch that is under way
	failures int       // transactions in a row that the database did not take
	routes   map[*kind][]*SQLRule
	running  atomic.Pointer[command] // whose handlers run now
	under    *step                   // the same, for the worker itself
}

func newWorker(cfg Config, p Processor, tails []*tail, ours *assignment) *worker {
	w := &worker{
		name: p.name, cfg: cfg, log: cfg.Logger, rules: p.rules, outside: p.outside, tails: tails,
		store: newStore(p, cfg.Source.History()),
		wake:  make(chan struct{}, 1), lookUp: make(chan struct{}, 1), abroad: make(chan struct{}, 1), ours: ours,
		routes: map[*kind][]*SQLRule{},
	}
	if w.outside {
		w.cfg.MaxEvents = 1 // one command a transaction: what was called is not called again for another's failure
	}
	for i := range tails {
		w.lanes = append(w.lanes, &lane{shard: uint32(i)}) //nolint:gosec // as many as there are shards
	}
	return w
}

// work commits until stop is closed. ctx ends it in the midst of a transaction.
func (w *worker) work(ctx context.Context, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		if ctx.Err() != nil {
			return
		}
		w.wakeDue()
		if w.loadSome(ctx) || w.verb(ctx) || w.commitSome(ctx) || w.readPause(ctx) {
			continue
		}
		if !w.sleep(ctx, stop) {
			return
		}
	}
}

// sleep waits until there is something to do; false means that the worker stops.
func (w *worker) sleep(ctx context.Context, stop <-chan struct{}) bool {
	w.forget()
	var due <-chan time.Time
	if at := w.nextDue(); !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-stop:
		return false
	case <-ctx.Done():
		return false
	case <-w.wake:
	case <-due:
	}
	return true
}

// nextDue is when something that waits may go on; zero while nothing does.
func (w *worker) nextDue() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.reason != "":
		return time.Time{}
	case w.paused:
		return w.pauseAt
	}
	if !w.away.IsZero() {
		return w.away
	}
	return w.restEnds
}

// wakeDue goes on with what has waited long enough, however busy others keep the worker.
func (w *worker) wakeDue() {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.away.After(now) {
		w.away = time.Time{}
	}
	if !w.restEnds.IsZero() && !w.restEnds.After(now) {
		w.wakeResting(now)
	}
}

// wakeResting wakes the lanes whose time has come. The lock is held.
func (w *worker) wakeResting(now time.Time) {
	left := w.resting[:0]
	w.restEnds = time.Time{}
	for _, l := range w.resting {
		if l.until.After(now) {
			left = append(left, l)
			w.restEnds = sooner(w.restEnds, l.until)
			continue
		}
		l.until = time.Time{}
		w.wakeLane(l)
	}
	clear(w.resting[len(left):])
	w.resting = left
}

// wakeLane goes on with a lane that rested: it loads its position again, or its records. The lock is held.
func (w *worker) wakeLane(l *lane) {
	switch l.phase {
	case blocked: // parked commands may have been retried by way of another node
		w.drop(l, loading)
		w.load(l)
	case loading:
		w.load(l)
	default:
		w.offer(l)
	}
}

// rest lets a lane wait. The lock is held.
func (w *worker) rest(l *lane, d time.Duration) {
	if l.until.IsZero() {
		w.resting = append(w.resting, l)
	}
	l.until = time.Now().Add(d)
	l.shown.retryAt = l.until
	w.restEnds = sooner(w.restEnds, l.until)
}

// sooner is the first of two times; a zero one is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// idle tells that no transaction may begin now. The lock is held.
func (w *worker) idle() bool {
	return w.paused || w.reason != "" || w.away.After(time.Now())
}

// setAway waits after the database did not take a transaction.
func (w *worker) setAway(err error) {
	if isDamaged(err) {
		w.stopAll(fmt.Errorf("the database of processor %s is damaged: %w: stop the service, move its file away and start again: what it held is built again from the log", w.name, err))
		return
	}
	w.failures++
	wait := w.backoff(w.failures)
	w.mu.Lock()
	w.away, w.awayErr = time.Now().Add(wait), err
	w.mu.Unlock()
	w.log.Warn("a processor's database does not take its transaction; nothing is lost, it tries again", "processor", w.name, "failures", w.failures, "wait", wait, "err", err)
}

// setBack notes that the database took one.
func (w *worker) setBack() {
	if w.failures == 0 {
		return
	}
	w.log.Info("a processor's database takes transactions again", "processor", w.name, "failures", w.failures)
	w.failures = 0
	w.mu.Lock()
	w.away, w.awayErr = time.Time{}, nil
	w.mu.Unlock()
}

// backoff is how long to wait after failures in a row, give or take a quarter, so that
// many do not come back at once.
func (w *worker) backoff(failures int) time.Duration {
	d := w.cfg.MinBackoff
	for i := 1; i < failures && d < w.cfg.MaxBackoff; i++ {
		d *= 2
	}
	d = min(d, w.cfg.MaxBackoff)
	return d - d/4 + rand.N(d/2+1)
}

// stopAll halts the whole processor, loudly.
func (w *worker) stopAll(why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reason = why.Error()
	for _, l := range w.lanes {
		w.drop(l, halted)
		l.reason = w.reason
		w.wakeWaiting(l)
	}
	w.refuse()
	w.log.Error("a processor stops; the others go on", "processor", w.name, "err", why)
}
