package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// stopPatience bounds how long a host may take to stop.
const stopPatience = time.Minute

// Load is one closed loop over many entities, or over one.
type Load struct {
	Setup
	Entities, Callers int
	// Hot sends all commands to one entity, Zipf most of them to few: the n-th gets a share of n to the power of -1.1.
	Hot, Zipf bool
	// Warm is how long the loop runs before it is measured, For how long after that.
	Warm, For time.Duration
	// NoDerived drops pages, snapshots and the timer index, to see what they cost.
	NoDerived bool
	// DatabasePID is the process of the one database node under the journal, if that runs on this
	// machine and its CPU time is to be measured; 0 if not.
	DatabasePID int
	// BytesPerEntity is copied into the figures; see [IdleBytes].
	BytesPerEntity float64
}

// Limits of a load.
const (
	maxEntities = 10_000_000
	maxCallers  = 100_000
)

// Check tells what is wrong with the load.
func (l Load) Check() error {
	switch {
	case l.Entities < 1 || l.Entities > maxEntities:
		return fmt.Errorf("%d entities: use 1 to %d", l.Entities, maxEntities)
	case l.Callers < 1 || l.Callers > maxCallers:
		return fmt.Errorf("%d callers: use 1 to %d", l.Callers, maxCallers)
	case l.For <= 0:
		return fmt.Errorf("a measurement of %v: use a positive time", l.For)
	case l.Warm < 0:
		return fmt.Errorf("a warm-up of %v: use 0 or more", l.Warm)
	}
	if _, err := l.databaseTime(); err != nil {
		return err
	}
	return l.Setup.check()
}

// Run measures the load once, on a host and a journal of its own, and then the
// ceiling of the store under it.
func (l Load) Run(ctx context.Context) (_ Figures, err error) {
	if err := l.Check(); err != nil {
		return Figures{}, err
	}
	dir, remove, err := l.scratch()
	if err != nil {
		return Figures{}, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	f, recordBytes, err := l.onHost(ctx, dir)
	if err != nil {
		return Figures{}, err
	}
	err = l.raw(ctx, &f, recordBytes)
	return f, err
}

// onHost returns what the loop measured and the average size of its records.
func (l Load) onHost(ctx context.Context, dir string) (_ Figures, recordBytes int, err error) {
	n, err := l.start(ctx, dir, ledgers, l.change)
	if err != nil {
		return Figures{}, 0, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	w := l.loop(ctx, n)
	if w.err != nil {
		return Figures{}, 0, w.err
	}
	f := l.figures(w)
	recordBytes, err = averageRecord(ctx, n.journal, w.before, w.after)
	f.RecordBytes = float64(recordBytes)
	return f, recordBytes, err
}

// The phases of a loop; they only rise.
const (
	warming int32 = iota
	measuring
	stopped
)

// window is what was seen between the begin and the end of the measurement.
type window struct {
	elapsed       time.Duration
	latency       histogram
	cpu, database time.Duration
	before, after logs
	err           error
}

// loop runs the callers and measures them. It returns when all of them have ended.
func (l Load) loop(ctx context.Context, n *node) (w window) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var phase atomic.Int32
	var answered atomic.Bool
	callers := make([]*caller, l.Callers)
	ids := l.ids()
	payload := randomBytes(l.Payload)
	var running sync.WaitGroup
	for i := range callers {
		c := &caller{node: n, ids: ids, payload: payload, draw: l.draw(uint64(i), len(ids))}
		callers[i] = c
		running.Go(func() {
			if err := c.run(ctx, &phase, &answered); err != nil {
				cancel(err)
			}
		})
	}
	w = l.watch(ctx, n, &phase, &answered)
	phase.Store(stopped)
	running.Wait()
	if err := context.Cause(ctx); err != nil {
		w.err = err
	}
	for _, c := range callers {
		w.latency.merge(&c.latency)
	}
	return w
}

// watch lets the callers warm up, takes the time of the measurement, and what the
// process and the logs did in it. The measurement goes on until something was answered: nothing is no figure.
func (l Load) watch(ctx context.Context, n *node, phase *atomic.Int32, answered *atomic.Bool) (w window) {
	if w.err = pause(ctx, l.Warm); w.err != nil {
		return w
	}
	if w.before, w.err = logsOf(ctx, n); w.err != nil {
		return w
	}
	begin, cpu := time.Now(), cpuTime()
	database, err := l.databaseTime()
	if w.err = err; err != nil {
		return w
	}
	phase.Store(measuring)
	w.err = pause(ctx, l.For)
	for w.err == nil && !answered.Load() {
		w.err = pause(ctx, pace)
	}
	phase.Store(stopped)
	w.elapsed, w.cpu = time.Since(begin), cpuTime()-cpu
	after, err := l.databaseTime()
	w.database = after - database
	if w.err = errors.Join(w.err, err); w.err == nil {
		w.after, w.err = logsOf(ctx, n)
	}
	return w
}

func (l Load) ids() []string {
	if l.Hot {
		return []string{"hot"}
	}
	ids := make([]string, l.Entities)
	for i := range ids {
		ids[i] = entityID(i)
	}
	return ids
}

// zipfExponent is that of words and web pages, about.
const zipfExponent = 1.1

// draw returns where a caller's commands go.
func (l Load) draw(seed uint64, n int) func() int {
	rng := rand.New(rand.NewPCG(seed, 1))
	if !l.Zipf {
		return func() int { return rng.IntN(n) }
	}
	zipf := rand.NewZipf(rng, zipfExponent, 1, uint64(n-1))
	return func() int { return int(zipf.Uint64()) } //nolint:gosec // below n
}

// caller sends commands one after the other, each to an entity drawn at random.
type caller struct {
	node    *node
	ids     []string
	payload []byte
	draw    func() int
	latency histogram
}

// run sends until the phase is stopped; answered tells that a command was measured.
func (c *caller) run(ctx context.Context, phase *atomic.Int32, answered *atomic.Bool) error {
	for phase.Load() != stopped {
		begin := time.Now()
		id := c.ids[c.draw()]
		if err := put(ctx, c.node, id, c.payload); err != nil {
			return fmt.Errorf("a command to %s failed, so nothing was measured: %w", id, err)
		}
		if phase.Load() == measuring {
			c.latency.record(time.Since(begin))
			if !answered.Load() { // it is read much and written once
				answered.Store(true)
			}
		}
	}
	return nil
}

// randomBytes do not compress, so that a store that does gains nothing by it.
func randomBytes(n int) []byte {
	rng := rand.New(rand.NewPCG(7, 7))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
