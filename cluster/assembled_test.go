package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The whole cluster is assembled of its real parts, actors, memberlist and transport, on fake time, and disturbed by
// plans. A plan replays from its seed, what happens inside does not: so a failure keeps everything that was seen.
//
//	SKERRY_PLANS=300 go test ./cluster -run TestAssembled   that many plans
//	SKERRY_PLAN=17   go test ./cluster -run TestAssembled   one plan; -count repeats it
//	SKERRY_SIM_FOR=1h  …                                    for so long, each plan another one
func TestAssembledClusterKeepsItsPromises(t *testing.T) {
	t.Parallel()
	if text := os.Getenv("SKERRY_PLAN"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("SKERRY_PLAN is %q; it must be a plan's seed: %v", text, err)
		}
		runPlan(t, seed, &tally{})
		return
	}
	seen := &tally{}
	t.Cleanup(func() { t.Log(seen) })
	if text := os.Getenv("SKERRY_SIM_FOR"); text != "" {
		runFor(t, text, seen)
		return
	}
	for seed := range uint64(plansWanted(t)) {
		t.Run(fmt.Sprint(seed+1), func(t *testing.T) {
			t.Parallel()
			runPlan(t, seed+1, seen)
		})
	}
}

// defaultPlans are those of every go test.
const defaultPlans = 20

func plansWanted(t *testing.T) int {
	text := os.Getenv("SKERRY_PLANS")
	if text == "" {
		return defaultPlans
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("SKERRY_PLANS is %q; it must be a count", text)
	}
	return n
}

// runFor runs plans that nobody has seen before until the time is over or one fails.
func runFor(t *testing.T, text string, seen *tally) {
	t.Helper()
	length, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("SKERRY_SIM_FOR is %q; it must be a time such as 10m: %v", text, err)
	}
	until := time.Now().Add(length)
	for worker := range runtime.GOMAXPROCS(0) {
		t.Run(fmt.Sprint(worker), func(t *testing.T) {
			t.Parallel()
			for time.Now().Before(until) && !t.Failed() {
				runPlan(t, rand.Uint64N(1<<53), seen) // a number that all tools for JSON can hold
			}
		})
	}
}

// runPlan runs one plan and keeps what was seen if it fails.
func runPlan(t *testing.T, seed uint64, seen *tally) {
	t.Helper()
	a := assemble(t, drawPlan(seed), defects{})
	seen.add(a)
	if len(a.complaints) > 0 {
		t.Errorf("plan %d: %s\n%d complaints; all that was seen is in %s; SKERRY_PLAN=%d runs the plan again",
			seed, strings.Join(a.complaints[:min(len(a.complaints), 8)], "\n"), len(a.complaints), a.keep(t), seed)
	}
}

// hangsAfter is how much real time a plan may take: what is stuck outside fake time never ends.
const hangsAfter = 4 * time.Minute

// assemble runs a plan, and returns what was seen. That everything which was started also ends, the
// bubble checks: it panics otherwise.
func assemble(t *testing.T, p plan, d defects) (a *assembly) {
	t.Helper()
	watchdog := time.AfterFunc(hangsAfter, func() {
		panic(fmt.Sprintf("plan %d does not end\n%s", p.Seed, stacks()))
	})
	defer watchdog.Stop()
	defer func() {
		if r := recover(); r != nil {
			a.complain("plan %d: %v\n%s", p.Seed, r, stacks())
		}
	}()
	synctest.Test(t, func(*testing.T) {
		a = newAssembly(p, d)
		a.play()
		a.settle()
		a.end()
	})
	a.check()
	return a
}

// stacks is what all goroutines do.
func stacks() string {
	b := make([]byte, 4<<20)
	return string(b[:runtime.Stack(b, true)])
}

// keep writes plan, complaints, history and trace to a file.
func (a *assembly) keep(t *testing.T) string {
	dir := os.Getenv("SKERRY_ARTIFACTS")
	if dir == "" {
		dir = os.TempDir()
	}
	name := filepath.Join(dir, fmt.Sprintf("skerry-plan-%d.txt", a.plan.Seed))
	f, err := os.Create(name)
	if err != nil {
		t.Error(err)
		return "no file"
	}
	defer func() { _ = f.Close() }()
	_, _ = fmt.Fprintf(f, "%s\n\n%s\n\nHISTORY\n", a.plan, strings.Join(a.complaints, "\n"))
	for _, d := range a.history.deeds {
		_, _ = fmt.Fprintln(f, d)
	}
	_, _ = fmt.Fprintln(f, "\nTRACE")
	a.trace.write(f)
	return name
}
