package cluster

import (
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// simSchedules is what plain go test runs.
const simSchedules = 300

// TestSimulation plays schedules, two at a time; not parallel, so that nothing else slows them.
//
//	SKERRY_SIM_SCHEDULES=20000   how many
//	SKERRY_SIM_FIRST=1           the first seed
//	SKERRY_SIM_SEED=17           plays one and prints what happens in it
//	SKERRY_SIM_BUG="a claim"     with the planted defect whose name begins so
func TestSimulation(t *testing.T) {
	if seed, ok := simNumber(t, "SKERRY_SIM_SEED"); ok {
		simReplay(t, seed)
		return
	}
	schedules, ok := simNumber(t, "SKERRY_SIM_SCHEDULES")
	if !ok {
		schedules = simSchedules
	}
	first, ok := simNumber(t, "SKERRY_SIM_FIRST")
	if !ok {
		first = 1
	}
	total := simCounts{}
	if bad := simulate(t, first, schedules, simBug{}, total); bad != nil {
		simReport(t, bad)
		return
	}
	printSimCounts(t, schedules, total)
	checkSimCounts(t, schedules, total)
}

func simNumber(t *testing.T, name string) (uint64, bool) {
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

// simFinding is a schedule that broke a promise.
type simFinding struct {
	seed uint64
	what string
}

// simulate plays schedules by ascending seed until one breaks a promise; of several it
// returns the one with the lowest seed.
func simulate(t *testing.T, first, schedules uint64, planted simBug, total simCounts) *simFinding {
	t.Helper()
	const workers = 2
	var next atomic.Uint64
	var mu sync.Mutex
	var bad *simFinding
	var wg sync.WaitGroup
	playing := make([]atomic.Uint64, workers)
	for w := range workers {
		wg.Go(func() {
			sum := simCounts{}
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
				if what := s.playGuarded(); what != "" {
					mu.Lock()
					if bad == nil || first+n < bad.seed {
						bad = &simFinding{first + n, what}
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

// waitOrHang waits for the workers. A schedule that loops without end would only be seen when
// go test gives up; here it names its seed.
func waitOrHang(t *testing.T, wg *sync.WaitGroup, playing []atomic.Uint64) {
	t.Helper()
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	last := make([]uint64, len(playing))
	look := time.NewTicker(30 * time.Second)
	defer look.Stop()
	for {
		select {
		case <-done:
			return
		case <-look.C:
			for i := range playing {
				seed := playing[i].Load()
				if seed != 0 && seed == last[i] {
					t.Fatalf("seed %d does not end\n%s", seed, simReplayCommand(seed))
				}
				last[i] = seed
			}
		}
	}
}

// playGuarded plays the schedule and returns what it broke.
func (s *sim) playGuarded() (what string) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case simBroken:
			what = r.what
		default:
			what = fmt.Sprintf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	s.counts["schedules"]++
	s.play()
	s.counts["events"] += s.done
	s.counts["simulated seconds"] += int((s.now - simBegin) / int64(time.Second))
	return ""
}

func simReplayCommand(seed uint64) string {
	return fmt.Sprintf("replay: SKERRY_SIM_SEED=%d go test -run 'TestSimulation$' ./cluster", seed)
}

// simReport plays a bad seed again and shows its end.
func simReport(t *testing.T, bad *simFinding) {
	t.Helper()
	lines, what := simTraced(bad.seed, simBug{})
	if what != bad.what {
		t.Errorf("seed %d does not replay: %q, then %q", bad.seed, bad.what, what)
	}
	const shown = 60
	for _, l := range lines[max(0, len(lines)-shown):] {
		t.Log(l)
	}
	t.Fatalf("seed %d: %s\n%s", bad.seed, bad.what, simReplayCommand(bad.seed))
}

func simTraced(seed uint64, planted simBug) (lines []string, what string) {
	s := newSim(seed, planted)
	s.trace = func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	what = s.playGuarded()
	return lines, what
}

func simReplay(t *testing.T, seed uint64) {
	t.Helper()
	lines, what := simTraced(seed, simBugNamed(os.Getenv("SKERRY_SIM_BUG")))
	for _, l := range lines {
		fmt.Println(l)
	}
	if what != "" {
		t.Fatalf("seed %d: %s", seed, what)
	}
}

func TestScheduleReplaysExactly(t *testing.T) {
	t.Parallel()
	for seed := uint64(1); seed <= 20; seed++ {
		first, _ := simTraced(seed, simBug{})
		second, _ := simTraced(seed, simBug{})
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

func printSimCounts(t *testing.T, schedules uint64, total simCounts) {
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

// checkSimCounts tells that the schedules still do what they are for.
func checkSimCounts(t *testing.T, schedules uint64, total simCounts) {
	t.Helper()
	if schedules < 1000 {
		return // too few to tell
	}
	least := map[string]float64{
		"events": 3000, "processes": 3, "claims": 6, "deaths": 1, "lost by gossip": 1, "readings": 15, "recoveries": 5, "timers fired": 1,
		"shards prepared": 10, "shards yielded": 1, "shards resumed": 0.2, "shards fenced": 3, "shards abandoned": 3, "left free": 0.4,
		"ops reply": 60, "ops rejection": 4, "ops unavailable": 5, "ops unknown": 8, "ops called again": 1, "smooth commands": 2,
		"envelopes": 150, "envelopes lost": 5, "envelopes late": 2, "envelopes doubled": 1, "envelopes forwarded": 1, "answers lost": 5,
		"calls while the journal is away": 4, "late answers of the journal": 8, "operations judged": 80, "histories checked": 1, "histories linearizable": 0.01,
		"calm cuts": 0.04, "silent deaths": 0.02, "deaths that are seen at once": 0.02, "rolled": 0.1, "join storms": 0.04, "all restarted at once": 0.04,
	}
	for a := range simActions {
		least["disturbed: "+a.String()] = 0.2
	}
	for name, perSchedule := range least {
		if got := float64(total[name]) / float64(schedules); got < perSchedule {
			t.Errorf("%s: %.3f per schedule, want %.3f at least: the simulation has stopped doing it", name, got, perSchedule)
		}
	}
}
