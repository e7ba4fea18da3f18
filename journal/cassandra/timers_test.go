package cassandra

import (
	"slices"
	"testing"

	"github.com/skerryhq/skerry/journal"
)

func TestOldHoursOfTheTimerIndexAreRemoved(t *testing.T) {
	t.Parallel()
	const hour = int64(3600e9)
	j := opened(t, fresh(t))
	ctx := within(t)
	timer := func(name string, due int64) journal.Timer {
		return journal.Timer{Of: journal.Entity{Type: "lot", ID: "1"}, Name: name, Armed: 1, Due: due}
	}
	derive := func(arms ...journal.Timer) {
		t.Helper()
		if err := j.Derive(ctx, journal.Derived{Shard: 1, Arms: arms}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(when string, names ...string) {
		t.Helper()
		var got []string
		if err := j.Timers(ctx, 1, -1<<40, 1<<40, func(x journal.Timer) error { got = append(got, x.Name); return nil }); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, names) {
			t.Errorf("%s: timers %q, want %q", when, got, names)
		}
	}
	began := j.stamp()
	derive(timer("early", hour), timer("late", 100*hour))
	s := j.shard(1)
	s.mayRemove(journal.Header{TimersFromHour: 50}, began+removalMargin.Microseconds()) // as if the timers were just so old
	derive()
	want("the record is no older than the margin", "early", "late")

	s.mayRemove(journal.Header{TimersFromHour: 51}, j.stamp()+removalMargin.Microseconds())
	derive(timer("past due", 2*hour))
	want("an hour behind", "past due", "late")
	derive()
	want("what was armed later stays", "past due", "late")
}
