package cluster_test

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
)

// tally counts what happened in plans: a plan in which nothing happens proves nothing.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (t *tally) add(a *assembly) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[string]int{}
	}
	t.counts["plans"]++
	if a.plan.Calm {
		t.counts["calm plans"]++
	}
	for _, f := range a.plan.Faults {
		t.counts["fault: "+string(f.Kind)]++
	}
	for _, d := range a.history.deeds {
		t.counts["commands and queries"]++
		for _, x := range d.tries {
			t.counts["answer: "+string(x.answer)]++
			if ms := int((x.ended - x.began).Milliseconds()); a.plan.Calm && x.answer == replied {
				t.counts["longest answer in a calm plan, ms"] = max(t.counts["longest answer in a calm plan, ms"], ms)
			}
		}
	}
	for _, log := range a.logs() {
		t.counts["records"] += len(log)
		for _, r := range log {
			if r.Claim {
				t.counts["claims"]++
			}
		}
	}
	for _, l := range a.trace.lines {
		if state, ok := logged(l, "shard", "state"); ok {
			t.counts["shard: "+state]++
		}
	}
}

// logged finds an attribute of a line.
func logged(l traceLine, message, key string) (value string, ok bool) {
	if l.record.Message != message {
		return "", false
	}
	l.record.Attrs(func(a slog.Attr) bool {
		if a.Key == key {
			value, ok = a.Value.String(), true
		}
		return !ok
	})
	return value, ok
}

func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []string
	for _, what := range slices.Sorted(maps.Keys(t.counts)) {
		lines = append(lines, fmt.Sprintf("%s: %d", what, t.counts[what]))
	}
	return strings.Join(lines, "; ")
}
