package breaker_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/breaker"
)

func mustGroup(t *testing.T, cfg breaker.GroupConfig) *breaker.Group {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	g, err := breaker.NewGroup(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// The example of Lagom's manual: hello and hello2 have settings of their own, the rest is default's.
func TestSettingsFallBackToTheServiceAndToDefault(t *testing.T) {
	t.Parallel()
	g := mustGroup(t, breaker.GroupConfig{Settings: map[string]breaker.Settings{
		"hello":       {MaxFailures: 5},
		"hello2":      {MaxFailures: 7, ResetTimeout: 30 * time.Second},
		"hello2/slow": {CallTimeout: time.Minute},
		"default":     {CallTimeout: 5 * time.Second, Enabled: breaker.Off},
		"on":          {Enabled: breaker.On, CallTimeout: -1},
	}})
	for id, want := range map[string]string{
		"hello":         "5 5s 15s false",
		"hello/sayHi":   "5 5s 15s false",
		"hello2":        "7 5s 30s false",
		"hello2/slow":   "7 1m0s 30s false",
		"hello2/slow/x": "7 1m0s 30s false",
		"other":         "10 5s 15s false",
		"on/any":        "10 0s 15s true",
	} {
		s := g.Breaker(id).Snapshot().Settings
		if got := fmt.Sprint(s.MaxFailures, " ", s.CallTimeout, " ", s.ResetTimeout, " ", s.Enabled == breaker.On); got != want {
			t.Errorf("%s has %s; want %s", id, got, want)
		}
	}
}

func TestABreakerIsThereFromItsFirstUse(t *testing.T) {
	t.Parallel()
	g := mustGroup(t, breaker.GroupConfig{})
	if n := len(g.Snapshot()); n != 0 {
		t.Fatalf("%d breakers before any use", n)
	}
	for _, id := range []string{"b", "a", "b"} {
		if _, err := breaker.Do(t.Context(), g.Breaker(id), answer); err != nil {
			t.Fatal(err)
		}
	}
	all := g.Snapshot()
	if len(all) != 2 || all[0].ID != "a" || all[1].ID != "b" || all[1].Counts.Succeeded != 2 {
		t.Errorf("got %+v", all)
	}
}

func TestAChangeReachesBreakersAndKeepsTheirCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := mustGroup(t, breaker.GroupConfig{Settings: map[string]breaker.Settings{"pay": {MaxFailures: 9}}})
		b, other := g.Breaker("pay/Charge"), g.Breaker("other")
		for range 3 {
			breaker.Do(t.Context(), b, fail) //nolint:errcheck // it fails
		}
		if err := g.Change("pay", breaker.Settings{MaxFailures: 4}); err != nil {
			t.Fatal(err)
		}
		if err := g.Change(breaker.Default, breaker.Settings{ResetTimeout: time.Minute}); err != nil {
			t.Fatal(err)
		}
		if s := b.Snapshot(); s.Failures != 3 || s.Settings.MaxFailures != 4 || s.Settings.ResetTimeout != time.Minute {
			t.Errorf("after the change: %d failures, settings %+v", s.Failures, s.Settings)
		}
		if s := other.Snapshot(); s.Settings.MaxFailures != 10 || s.Settings.ResetTimeout != time.Minute {
			t.Errorf("the other has %+v", s.Settings)
		}
		breaker.Do(t.Context(), b, fail) //nolint:errcheck // it fails
		if s := b.Snapshot(); s.State != breaker.Open || s.RetryAfter != time.Minute {
			t.Errorf("after one failure more it is %v for %v", s.State, s.RetryAfter)
		}
	})
}

func TestAWrongChangeChangesNothing(t *testing.T) {
	t.Parallel()
	g := mustGroup(t, breaker.GroupConfig{Settings: map[string]breaker.Settings{"pay": {MaxResetTimeout: 20 * time.Second}}})
	b := g.Breaker("pay")
	err := g.Change(breaker.Default, breaker.Settings{ResetTimeout: 30 * time.Second})
	if err == nil || !strings.Contains(err.Error(), "MaxResetTimeout") || !strings.Contains(err.Error(), `"pay"`) {
		t.Errorf("got %v; want it to name the field and who has it", err)
	}
	if s := b.Snapshot().Settings; s.ResetTimeout != 15*time.Second || len(g.Settings()) != 1 {
		t.Errorf("settings %+v, given %v", s, g.Settings())
	}
	if _, err := breaker.NewGroup(breaker.GroupConfig{Settings: map[string]breaker.Settings{"x": {ResetJitter: 2}}}); err == nil || !strings.Contains(err.Error(), `["x"]`) {
		t.Errorf("got %v", err)
	}
}

func TestIdsBeyondTheLimitShareABreaker(t *testing.T) {
	t.Parallel()
	g := mustGroup(t, breaker.GroupConfig{MaxBreakers: 2})
	a, b, c, d := g.Breaker("a"), g.Breaker("b"), g.Breaker("c"), g.Breaker("d")
	if a == b || c != d || c.ID() != breaker.Others || g.Breaker("a") != a || len(g.Snapshot()) != 3 {
		t.Errorf("got %v %v %v %v", a.ID(), b.ID(), c.ID(), d.ID())
	}
	long := strings.Repeat("x", 300)
	if id := mustGroup(t, breaker.GroupConfig{}).Breaker(long).ID(); id != long[:256] {
		t.Errorf("an id of %d bytes", len(id))
	}
}

func TestManyAskForABreakerAtOnce(t *testing.T) {
	t.Parallel()
	g := mustGroup(t, breaker.GroupConfig{})
	made := make(chan *breaker.Breaker)
	for range 50 {
		go func() { made <- g.Breaker("one") }()
	}
	first := <-made
	for range 49 {
		if b := <-made; b != first {
			t.Fatal("two breakers of one id")
		}
	}
}
