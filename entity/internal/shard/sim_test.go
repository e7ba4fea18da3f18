package shard

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// mix is what one schedule is made of. Each seed draws its own: with every fault in
// every schedule, those that need a long quiet stretch before them would never be found.
type mix struct {
	entities, clients, inputs int

	latency, thinking, callEvery, patience, deadline time.Duration
	disturbEvery                                     time.Duration

	unknownStored, unknownLost, refuse, stall, diskFull, lateAnswers, ambush float64
	readFails, staleHead, deriveFails                                        float64
	recoveryFails, recoveryBroken, snapshotUnreadable                        float64
	encodeFails, timerFails                                                  float64
	takeover, crash, abort, drain, resetTime                                 float64
	queries, local, timers, defects, expects                                 float64
	lookups                                                                  float64
	callerKeys, reuse, repeat, lateCall, wrongOwner, hurry                   float64
	timerFar, skew, jump                                                     time.Duration
	maxRecord, flushBytes, stallBytes, snapshotBytes                         int
	flushAfter, idleAfter                                                    time.Duration
}

// drawMix draws a mix: most faults are absent from most schedules, and heavy in some.
func drawMix(r *rand.Rand) mix {
	fault := func(often, most float64) float64 {
		if r.Float64() >= often {
			return 0
		}
		return r.Float64() * most
	}
	pick := func(d ...time.Duration) time.Duration { return d[r.IntN(len(d))] }
	m := mix{
		entities: 1 + r.IntN(4), clients: 1 + r.IntN(3), inputs: 200 + r.IntN(150),
		latency: pick(200*time.Microsecond, 2*time.Millisecond, 20*time.Millisecond, 200*time.Millisecond),

		unknownStored: fault(0.4, 0.5), unknownLost: fault(0.4, 0.5), refuse: fault(0.2, 0.3), stall: fault(0.3, 0.3), lateAnswers: fault(0.3, 0.4), diskFull: fault(0.15, 1),
		readFails: fault(0.3, 0.5), staleHead: fault(0.5, 1), deriveFails: fault(0.3, 0.7),
		recoveryFails: fault(0.25, 0.5), recoveryBroken: fault(0.2, 0.5), snapshotUnreadable: fault(0.2, 0.5),
		encodeFails: fault(0.1, 0.5), timerFails: fault(0.3, 0.7),
		takeover: fault(0.7, 0.4), crash: fault(0.4, 0.2), abort: fault(0.2, 0.1), drain: fault(0.2, 0.1), resetTime: fault(0.05, 1),
		queries: fault(0.8, 0.5), local: fault(0.5, 1), timers: fault(0.5, 0.4), defects: fault(0.3, 0.2), expects: fault(0.3, 0.4),
		callerKeys: fault(0.6, 1), reuse: fault(0.6, 0.5), repeat: 0.5 + r.Float64()/2, lateCall: fault(0.4, 0.3), wrongOwner: fault(0.7, 0.6),
		lookups: fault(0.5, 0.3),
		skew:    pick(0, 0, 50*time.Millisecond, 2*time.Second, 10*time.Minute), jump: pick(0, 0, 0, 100*time.Millisecond, 5*time.Second, 30*time.Minute),
		maxRecord: 1000, flushBytes: 1 << 20, stallBytes: 4 << 20,
		flushAfter: pick(time.Millisecond, 50*time.Millisecond, 2*time.Second), idleAfter: pick(5*time.Millisecond, time.Second, 2*time.Minute),
	}
	m.flushAfter = max(m.flushAfter, m.latency)
	m.thinking = pick(m.latency/20, m.latency, 4*m.latency)
	m.callEvery = pick(m.latency/4, m.latency, 10*m.latency, 100*m.latency)
	m.patience = pick(5*m.latency, 100*m.latency, 5*time.Second)
	m.deadline, m.hurry = pick(200*m.latency, 5*time.Second, 30*time.Second), fault(0.4, 0.5)
	m.disturbEvery = pick(5*m.latency, 50*m.latency, 0)
	m.timerFar = pick(100*m.latency, time.Second, 3*time.Hour)
	if r.IntN(3) == 0 {
		m.flushBytes, m.stallBytes, m.snapshotBytes = 300, 1500, 400
	}
	if r.IntN(3) == 0 {
		m.maxRecord = 1 << 20
	}
	if r.IntN(8) == 0 { // hours pass
		m.callEvery, m.disturbEvery = pick(time.Minute, 20*time.Minute), pick(20*time.Minute, 0)
		m.timerFar = 3 * time.Hour
	}
	if r.IntN(6) == 0 {
		m.duel(r)
	}
	if r.IntN(100) == 0 {
		m.inputs *= 10
	}
	return m
}

// duel makes owners overtake each other while clients talk to all of them, about few entities:
// that is where stale answers come from.
func (m *mix) duel(r *rand.Rand) {
	m.latency = []time.Duration{200 * time.Microsecond, time.Millisecond, 5 * time.Millisecond}[r.IntN(3)]
	m.entities, m.clients, m.inputs = 1, 2+r.IntN(2), 300+r.IntN(200)
	m.takeover, m.crash, m.abort, m.drain, m.wrongOwner, m.ambush = 0.3, 0, 0, 0, 0.8, 0.5
	m.lateAnswers, m.unknownStored = r.Float64()/4, r.Float64()/2
	m.queries, m.local, m.timers, m.defects = 0.3+r.Float64()/3, m.local/2, 0, m.defects/2
	m.callEvery, m.thinking, m.disturbEvery = max(m.latency, 2*time.Millisecond), m.latency/20, max(50*m.latency, 50*time.Millisecond)
	m.deadline, m.patience, m.lateCall = time.Second, time.Second, 0
	m.recoveryFails, m.readFails, m.diskFull, m.refuse, m.unknownLost = 0, 0, 0, 0, 0
	m.idleAfter, m.flushBytes, m.stallBytes = time.Minute, 1<<20, 4<<20
}

// defaultSchedules is what plain go test runs.
const defaultSchedules = 3000

// TestSimulation plays schedules, two at a time; not parallel, so that nothing else slows them.
//
//	SKERRY_SIM_SCHEDULES=100000  how many
//	SKERRY_SIM_FIRST=1           the first seed
//	SKERRY_SIM_SEED=17           plays one and prints what happens in it
func TestSimulation(t *testing.T) {
	if seed, ok := number(t, "SKERRY_SIM_SEED"); ok {
		replay(t, seed)
		return
	}
	schedules, ok := number(t, "SKERRY_SIM_SCHEDULES")
	if !ok {
		schedules = defaultSchedules
	}
	first, ok := number(t, "SKERRY_SIM_FIRST")
	if !ok {
		first = 1
	}
	total := counts{}
	if bad := simulate(t, first, schedules, bugNone, total); bad != nil {
		report(t, bad)
		return
	}
	printCounts(t, schedules, total)
	checkCounts(t, schedules, total)
}

func number(t *testing.T, name string) (uint64, bool) {
	text := os.Getenv(name)
	if text == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n, true
}

// finding is a schedule that broke a promise.
type finding struct {
	seed uint64
	what string
}

// simulate plays schedules by ascending seed until one breaks a promise; of several it
// returns the one with the lowest seed.
func simulate(t *testing.T, first, schedules uint64, planted bug, total counts) *finding {
	const workers = 2
	var next atomic.Uint64
	var mu sync.Mutex
	var bad *finding
	var wg sync.WaitGroup
	playing := make([]atomic.Uint64, workers)
	for w := range workers {
		wg.Go(func() {
			sum := counts{}
			for {
				n := next.Add(1) - 1
				mu.Lock()
				stop := n >= schedules || bad != nil
				mu.Unlock()
				if stop {
					break
				}
				playing[w].Store(first + n)
				s := newSim(first+n, planted)
				if what := s.play(); what != "" {
					mu.Lock()
					if bad == nil || first+n < bad.seed {
						bad = &finding{first + n, what}
					}
					mu.Unlock()
				}
				sum.add(s.counts)
			}
			playing[w].Store(0)
			mu.Lock()
			total.add(sum)
			mu.Unlock()
		})
	}
	waitOrHang(t, &wg, playing)
	return bad
}

// waitOrHang waits for the workers. A machine that loops without end would only be seen when
// go test gives up; here it names its seed.
func waitOrHang(t *testing.T, wg *sync.WaitGroup, playing []atomic.Uint64) {
	t.Helper()
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	last := make([]uint64, len(playing))
	look := time.NewTicker(20 * time.Second)
	defer look.Stop()
	for {
		select {
		case <-done:
			return
		case <-look.C:
			for i := range playing {
				seed := playing[i].Load()
				if seed != 0 && seed == last[i] {
					t.Fatalf("seed %d does not end: the machine loops\n%s", seed, replayCommand(seed))
				}
				last[i] = seed
			}
		}
	}
}

// play runs the schedule and returns what it broke.
func (s *sim) play() (what string) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case brokenPromise:
			what = r.what
		default:
			what = fmt.Sprintf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	s.run()
	s.counts["schedules"]++
	s.counts["inputs"] += s.inputs
	if s.inputs < 200 {
		s.fail("only %d inputs", s.inputs)
	}
	return ""
}

func replayCommand(seed uint64) string {
	return fmt.Sprintf("replay: SKERRY_SIM_SEED=%d go test -run 'TestSimulation$' ./entity/internal/shard", seed)
}

// report plays a bad seed again and shows its end.
func report(t *testing.T, bad *finding) {
	t.Helper()
	lines, what := traced(bad.seed, bugNone)
	if what != bad.what {
		t.Errorf("seed %d does not replay: %q, then %q", bad.seed, bad.what, what)
	}
	const shown = 60
	for _, l := range lines[max(0, len(lines)-shown):] {
		t.Log(l)
	}
	t.Fatalf("seed %d: %s\n%s", bad.seed, bad.what, replayCommand(bad.seed))
}

func traced(seed uint64, planted bug) (lines []string, what string) {
	s := newSim(seed, planted)
	s.trace = func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	what = s.play()
	return lines, what
}

func replay(t *testing.T, seed uint64) {
	t.Helper()
	lines, what := traced(seed, bugNone)
	for _, l := range lines {
		fmt.Println(l)
	}
	if what != "" {
		t.Fatalf("seed %d: %s", seed, what)
	}
}

func TestScheduleReplaysExactly(t *testing.T) {
	t.Parallel()
	for seed := uint64(1); seed <= 60; seed++ {
		first, _ := traced(seed, bugNone)
		second, _ := traced(seed, bugNone)
		for i := range min(len(first), len(second)) {
			if first[i] != second[i] {
				t.Fatalf("seed %d: line %d is\n%s\nthen\n%s", seed, i, first[i], second[i])
			}
		}
		if len(first) != len(second) {
			t.Fatalf("seed %d: %d lines, then %d", seed, len(first), len(second))
		}
	}
}

func printCounts(t *testing.T, schedules uint64, total counts) {
	t.Helper()
	names := make([]string, 0, len(total))
	for name := range total {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Logf("%-45s %10d  %8.2f per schedule", name, total[name], float64(total[name])/float64(schedules))
	}
}

// checkCounts tells that the schedules still do what they are for.
func checkCounts(t *testing.T, schedules uint64, total counts) {
	t.Helper()
	if schedules < 1000 {
		return // too few to tell
	}
	least := map[string]float64{
		"inputs": 300, "entries": 14, "append": 12, "append repeated": 1, "append refused": 0.3, "append unknown, lost": 0.5, "append unknown, stored": 0.8,
		"answer reply": 18, "answer rejection": 3.5, "answer repeated": 2.5, "answer unavailable": 10, "answer moved": 8, "answer failed": 1, "answer unknown": 2,
		"check": 4, "check failed": 0.1, "fenced": 0.7, "owners": 2.5, "crash": 0.2, "abort": 0.05, "drain": 0.05, "drained": 0.01, "evict": 1, "ambush": 0.15,
		"recovery": 6, "recovery failed": 0.4, "recovery from a snapshot": 0.6, "recovery of an overtaken owner's pins": 0.001, "snapshots": 0.4, "snapshot ignored": 0.01,
		"derive": 4, "derive failed": 0.3, "derive failed for some": 0.1, "timer fired": 1, "timer failed": 0.04, "timers failed": 0.05, "key reused": 0.2, "lookup found": 0.3, "lookup not known": 0.1, "lookup running": 0.3, "records told to readers": 5, "key expired": 0.01, "version mismatch": 0.3,
		"stale head": 0.2, "head failed": 0.1, "read failed": 0.08, "late attempts": 2, "late answers of the journal": 0.4,
	}
	for name, perSchedule := range least {
		if got := float64(total[name]) / float64(schedules); got < perSchedule {
			t.Errorf("%s: %.3f per schedule, want %.3f at least: the simulation has stopped doing it", name, got, perSchedule)
		}
	}
}
