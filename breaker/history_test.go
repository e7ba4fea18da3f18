package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/breaker"
	"github.com/skerryhq/skerry/breaker/internal/machine"
)

// perBubble histories share a bubble of fake time.
const perBubble = 100

// histories is how many are tried: SKERRY_BREAKER_HISTORIES, or 100,000 in CI and 20,000 elsewhere; fewer with
// -short and with the race detector.
func histories(t *testing.T) int {
	t.Helper()
	if text := os.Getenv("SKERRY_BREAKER_HISTORIES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	switch {
	case testing.Short(), raceDetector:
		return 2_000
	case os.Getenv("CI") != "":
		return 100_000
	}
	return 20_000
}

// TestRandomHistoriesAreAsTheModelSays drives breakers through random calls, times, cancellations,
// deadlines, hangs, bursts and changes of settings, and holds everything visible against the model after each step.
func TestRandomHistoriesAreAsTheModelSays(t *testing.T) {
	t.Parallel()
	all := histories(t)
	reached := map[string]int{}
	for first := 0; first < all; first += perBubble {
		if bad := tryHistories(t, first, min(perBubble, all-first), 0, reached); bad != nil {
			t.Fatal(bad)
		}
	}
	for _, what := range []string{
		"the reset-timeout is over", "the probe was answered", "the probe failed", "the probe hung", "the probe's caller gave up",
		"max-failures in a row", "the failure rate is reached", "full", "refused", "late", "slow", "abandoned", "timed out", "burst",
	} {
		if reached[what] == 0 {
			t.Errorf("no history reached: %s", what)
		}
	}
	t.Logf("%d histories reached %v", all, reached)
}

// TestPlantedBugsAreFound plants one defect after another: a model that does not find them proves nothing.
func TestPlantedBugsAreFound(t *testing.T) {
	if raceDetector {
		t.Skip("it is the model that is tried here, not what runs at once")
	}
	t.Parallel()
	const most = 5_000
	for name, bug := range map[string]machine.Bug{
		"two probes": machine.BugTwoProbes, "a hung probe blocks for ever": machine.BugHungProbe, "late results count": machine.BugLateCounts,
		"a caller that gave up counts": machine.BugAbandonedCounts, "a success does not reset": machine.BugKeepFailures,
		"a rejection does not reset": machine.BugRejectedKeeps, "one failure more": machine.BugOneMore, "no minimum of calls": machine.BugNoMinimum,
		"the window forgets nothing": machine.BugWindowKeeps, "no rest after a probe": machine.BugNoRest,
		"a caller that gave up costs a full wait": machine.BugRestAnew, "no backoff": machine.BugNoBackoff, "the backoff stays": machine.BugBackoffKeeps,
		"closing keeps the failures": machine.BugCloseKeepsCount, "a change forgets": machine.BugChangeForgets,
		"a change does not reach a wait": machine.BugChangeWaits, "no bulkhead": machine.BugNoBulkhead, "places are kept": machine.BugKeepSlot,
		"slow is forgiven": machine.BugSlowForgiven, "a hang is forgiven": machine.BugHangForgiven, "the short way is taken too early": machine.BugIndifferent,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for first := 0; first < most; first += perBubble {
				if bad := tryHistories(t, first, perBubble, bug, map[string]int{}); bad != nil {
					first, _, _ := strings.Cut(bad.Error(), "\n")
					t.Log("found:", first)
					return
				}
			}
			t.Fatalf("not found in %d histories", most)
		})
	}
}

// tryHistories returns what is wrong with the first history that is, and its story.
func tryHistories(t *testing.T, first, n int, bug machine.Bug, reached map[string]int) (bad error) {
	synctest.Test(t, func(t *testing.T) {
		for seed := first; seed < first+n; seed++ {
			if bad = tryHistory(uint64(seed), bug, reached, false); bad != nil {
				if again := tryHistory(uint64(seed), bug, reached, true); again != nil {
					bad = again
				}
				return
			}
		}
	})
	return bad
}

func tryHistory(seed uint64, bug machine.Bug, reached map[string]int, tells bool) error {
	w := newWorld(seed, bug, reached, tells)
	defer w.close()
	if err := w.run(); err != nil {
		return fmt.Errorf("history %d: %w\n%v", seed, err, w.story)
	}
	return nil
}

// world is one history: a real breaker beside the model.
type world struct {
	*rand.Rand
	b       *breaker.Breaker
	m       model
	base    time.Time
	mu      sync.Mutex
	made    []change
	calls   []*realCall // admitted and under way, as the model says
	all     []*realCall
	ids     int
	given   breaker.Settings
	tells   bool
	story   []string
	reached map[string]int
}

type realCall struct {
	*modelCall
	id      int
	cancel  context.CancelFunc
	finish  chan error
	entered bool
	over    atomic.Bool
	err     error
}

func newWorld(seed uint64, bug machine.Bug, reached map[string]int, tells bool) *world {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 7)), base: time.Now(), reached: reached, tells: tells}
	w.given = w.settings()
	w.m = model{set: w.given.Filled(), gen: 1}
	var err error
	w.b, err = breaker.New(breaker.Config{ID: "b", Settings: w.given, Logger: slog.New(slog.DiscardHandler), OnTransition: func(t breaker.Transition) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.made = append(w.made, change{t.From, t.To, t.At.Sub(w.base), t.Wait, t.Reason})
	}})
	if err != nil {
		panic(err)
	}
	w.b.Plant(bug)
	w.tell("settings %v", w.m.set)
	return w
}

func pick[T any](w *world, of ...T) T { return of[w.IntN(len(of))] }

func (w *world) settings() breaker.Settings {
	const ms = time.Millisecond
	return breaker.Settings{
		MaxFailures: pick(w, 1, 2, 3, -1), CallTimeout: pick(w, -1, 50*ms, 200*ms), ResetTimeout: pick(w, 100*ms, 300*ms),
		MaxResetTimeout: pick(w, 0, 800*ms), FailureRate: pick(w, -1, -1, 0.5, 1), Window: pick(w, 100*ms, time.Second), MinCalls: pick(w, 1, 3),
		SlowAfter: pick(w, -1, -1, 30*ms), MaxConcurrent: pick(w, -1, -1, 2), MinDeadline: 20 * ms,
		Ignore: []breaker.Match{breaker.MatchIs(errNo)},
	}
}

func (w *world) tell(format string, args ...any) {
	if !w.tells {
		return
	}
	w.story = append(w.story, fmt.Sprintf("%8v ", w.m.now)+fmt.Sprintf(format, args...)+"\n")
}

func (w *world) run() error {
	for range 10 + w.IntN(30) {
		if err := w.step(); err != nil {
			return err
		}
		if err := w.compare(); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) step() error {
	switch n := w.IntN(20); {
	case n < 6:
		return w.start(1)
	case n < 7:
		return w.start(2 + w.IntN(4))
	case n < 12 && len(w.calls) > 0:
		return w.finish(w.calls[w.IntN(len(w.calls))])
	case n < 13 && len(w.calls) > 1:
		return w.finish(w.calls...)
	case n < 14 && len(w.calls) > 0:
		return w.giveUp(w.calls[w.IntN(len(w.calls))])
	case n < 15:
		return w.change()
	default:
		return w.wait()
	}
}

// start makes calls of one kind at once. The model says what becomes of them, not which of them it is.
func (w *world) start(n int) error {
	const ms = time.Millisecond
	heeds, bound, patience := w.IntN(2) == 0, w.IntN(3) == 0, pick(w, 10*ms, 40*ms, 150*ms)
	w.ids++
	patience += time.Duration(w.ids)
	if err := w.pass(1); err != nil { // no two things at the same instant, whose order nobody knows
		return err
	}
	var all []*realCall
	for range n {
		all = append(all, w.launch(heeds, bound, patience))
	}
	synctest.Wait()
	slices.SortStableFunc(all, func(a, b *realCall) int { return order(a.entered) - order(b.entered) })
	for _, c := range all {
		wait, kind := w.m.admit(c.modelCall)
		w.tell("start %d of %d: heeds %v, patience %v %v: %v", c.id, n, heeds, bound, patience, kind)
		if err := w.begun(c, kind, wait); err != nil {
			return err
		}
	}
	if n > 1 {
		w.reached["burst"]++
	}
	return nil
}

func order(entered bool) int {
	if entered {
		return 0
	}
	return 1
}

func (w *world) launch(heeds, bound bool, patience time.Duration) *realCall {
	w.ids++
	c := &realCall{modelCall: &modelCall{heeds: heeds}, id: w.ids, finish: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	if bound {
		c.deadline = w.m.now + patience
		ctx, cancel = context.WithDeadline(context.Background(), w.base.Add(c.deadline))
	}
	c.cancel = cancel
	w.all = append(w.all, c)
	fn := func(ctx context.Context) (int, error) {
		c.entered = true
		if !heeds {
			return 0, <-c.finish
		}
		select {
		case err := <-c.finish:
			return 0, err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	do := func() { _, c.err = breaker.Do(ctx, w.b, fn) }
	if w.IntN(2) == 0 {
		do = func() {
			call, err := w.b.Start(ctx)
			if err == nil {
				_, err = fn(call.Context())
				err = call.End(err)
			}
			c.err = err
		}
	}
	go func() { do(); c.over.Store(true) }()
	return c
}

func (w *world) begun(c *realCall, kind error, wait time.Duration) error {
	if kind == nil {
		if !c.entered {
			return fmt.Errorf("call %d was refused (%w); the model admits it", c.id, c.err)
		}
		w.calls = append(w.calls, c)
		return nil
	}
	c.cancel()
	var refused *breaker.Error
	switch {
	case c.entered:
		return fmt.Errorf("call %d was admitted; the model says: %w", c.id, kind)
	case !errors.As(c.err, &refused), !errors.Is(c.err, kind):
		return fmt.Errorf("call %d got %w; the model says: %w", c.id, c.err, kind)
	case refused.RetryAfter() != wait:
		return fmt.Errorf("call %d is to retry after %v; the model says %v", c.id, refused.RetryAfter(), wait)
	}
	w.reached["refused"]++
	return nil
}

// finish lets calls return at once, all with the same.
func (w *world) finish(these ...*realCall) error {
	with := pick(w, nil, nil, errNo, errors.New("broken"), errors.New("broken"), context.Canceled)
	if len(these) > 1 {
		// Together, only what leads to the same in any order.
		with = errors.New("broken")
	}
	these = slices.Clone(these)
	if len(these) > 1 {
		these = slices.DeleteFunc(these, func(c *realCall) bool { return c.canceled || w.m.now >= c.deadline })
	}
	for _, c := range these {
		c.finish <- with
	}
	synctest.Wait()
	for _, c := range these {
		w.tell("finish %d of %d: %v", c.id, len(these), with)
		if err := w.ended(c, w.m.returned(c.modelCall, with)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) ended(c *realCall, want error) error {
	w.calls = slices.DeleteFunc(w.calls, func(other *realCall) bool { return other == c })
	c.cancel()
	switch {
	case !c.over.Load():
		return fmt.Errorf("call %d has not returned", c.id)
	case !errors.Is(c.err, want), want == nil && c.err != nil, errors.Is(c.err, breaker.ErrTimeout) && errors.Is(c.err, context.DeadlineExceeded):
		return fmt.Errorf("call %d returned %w; the model says %w", c.id, c.err, want)
	}
	return nil
}

// giveUp cancels a call, and those that began at the same instant: their timeouts come at one instant too.
func (w *world) giveUp(one *realCall) error {
	var these []*realCall
	for _, c := range w.calls {
		if c.start != one.start {
			continue
		}
		w.tell("cancel %d", c.id)
		c.canceled = c.canceled || w.m.now < c.deadline
		c.cancel()
		these = append(these, c)
	}
	synctest.Wait()
	for _, c := range these {
		if !c.heeds {
			continue
		}
		if err := w.ended(c, w.m.returned(c.modelCall, context.Canceled)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) change() error {
	off := w.IntN(5) == 0
	if w.IntN(2) == 0 {
		w.given = w.settings()
	}
	if w.given.Enabled = breaker.On; off {
		w.given.Enabled = breaker.Off
	}
	w.m.change(w.given.Filled(), off)
	w.tell("off %v, settings %v", off, w.m.set)
	err := w.b.Change(w.given)
	synctest.Wait()
	return err
}

func (w *world) wait() error {
	const ms = time.Millisecond
	d := pick(w, ms, 10*ms, 35*ms, 100*ms, time.Duration(1+w.IntN(400))*ms)
	if left := w.m.until() - w.m.now; w.m.state != breaker.Closed && left > 1 && w.IntN(2) == 0 {
		d = pick(w, left-1, left, left+1)
	}
	w.tell("wait %v", d)
	return w.pass(d)
}

// pass lets time pass.
func (w *world) pass(d time.Duration) error {
	returned := w.m.advance(w.m.now + d)
	time.Sleep(d)
	synctest.Wait()
	for _, c := range slices.Clone(w.calls) {
		if want, ok := returned[c.modelCall]; ok {
			if err := w.ended(c, want); err != nil {
				return err
			}
		}
	}
	return nil
}

// compare holds all that is visible against the model.
func (w *world) compare() error {
	s, m := w.b.Snapshot(), &w.m
	failed, all := m.window()
	retry := time.Duration(0)
	if m.state != breaker.Closed {
		retry = max(m.until()-m.now, 0)
	}
	for _, x := range []struct {
		what      string
		got, want any
	}{
		{"state", s.State, m.state},
		{"since", s.Since.Sub(w.base), m.since},
		{"counts", s.Counts, m.counts},
		{"failures in a row", s.Failures, m.row},
		{"busy", s.Busy, m.busy},
		{"window", [2]int{s.WindowFailed, s.WindowCalls}, [2]int{failed, all}},
		{"retry after", s.RetryAfter, retry},
		{"enabled", s.Enabled, !m.off},
	} {
		if x.got != x.want {
			return fmt.Errorf("%s is %v; the model says %v", x.what, x.got, x.want)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.made, m.made) {
		return fmt.Errorf("transitions are %v; the model says %v", w.made, m.made)
	}
	for _, c := range w.calls {
		if c.over.Load() {
			return fmt.Errorf("call %d returned by itself: %w", c.id, c.err)
		}
	}
	return nil
}

// close lets all calls end, and counts what the history reached.
func (w *world) close() {
	for _, c := range w.all {
		if !c.over.Load() {
			c.finish <- nil
		}
		c.cancel()
	}
	synctest.Wait()
	for _, c := range w.m.made {
		w.reached[c.reason]++
	}
	for what, n := range map[string]uint64{
		"full": w.m.counts.Full, "late": w.m.counts.Late, "slow": w.m.counts.Slow, "abandoned": w.m.counts.Abandoned, "timed out": w.m.counts.TimedOut,
	} {
		w.reached[what] += int(n)
	}
}
