package breaker_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/skerryhq/skerry/breaker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAClosedBreakerAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for name, c := range map[string]struct {
		settings breaker.Settings
		most     float64
		call     func(context.Context) (int, error)
	}{
		"without a call-timeout":                {breaker.Settings{CallTimeout: -1}, 0, answer},
		"with a window":                         {breaker.Settings{CallTimeout: -1, FailureRate: 0.5}, 0, answer},
		"with a bulkhead":                       {breaker.Settings{CallTimeout: -1, MaxConcurrent: 10}, 0, answer},
		"with a slow call's limit":              {breaker.Settings{CallTimeout: -1, SlowAfter: time.Minute}, 0, answer},
		"off":                                   {breaker.Settings{Enabled: breaker.Off}, 0, answer},
		"with a call-timeout":                   {breaker.Settings{}, 1, answer},
		"with a call-timeout that is asked for": {breaker.Settings{}, 4, func(ctx context.Context) (int, error) { ctx.Done(); return 1, nil }},
	} {
		b := mustBreaker(t, c.settings)
		got := testing.AllocsPerRun(200, func() {
			if _, err := breaker.Do(ctx, b, c.call); err != nil {
				t.Fatal(err)
			}
		})
		if got > c.most {
			t.Errorf("%s: %v allocations; want at most %v", name, got, c.most)
		}
	}
	open := mustBreaker(t, breaker.Settings{MaxFailures: 1, ResetTimeout: time.Hour})
	if _, err := breaker.Do(ctx, open, fail); err == nil {
		t.Fatal("no failure")
	}
	if got := testing.AllocsPerRun(200, func() { breaker.Do(ctx, open, answer) }); got > 0 { //nolint:errcheck // refused
		t.Errorf("a refusal: %v allocations; want none", got)
	}
}

func TestTheCallsContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	t.Run("ends at the call-timeout, and so does what is derived from it", func(t *testing.T) {
		t.Parallel()
		onStage(t, breaker.Settings{CallTimeout: time.Second}, func(s *stage) {
			outer := context.WithValue(context.Background(), key{}, "v")
			_, err := breaker.Do(outer, s.b, func(ctx context.Context) (int, error) {
				derived, cancel := context.WithCancel(ctx)
				defer cancel()
				if at, ok := derived.Deadline(); !ok || time.Until(at) != time.Second {
					s.Errorf("deadline in %v", time.Until(at))
				}
				<-derived.Done()
				if !errors.Is(ctx.Err(), context.DeadlineExceeded) || !errors.Is(context.Cause(derived), breaker.ErrTimeout) || derived.Value(key{}) != "v" {
					s.Errorf("err %v, cause %v, value %v", ctx.Err(), context.Cause(derived), derived.Value(key{}))
				}
				return 0, ctx.Err()
			})
			var own *breaker.Error
			var network net.Error
			if !errors.As(err, &own) || own.Refused() || !errors.Is(err, breaker.ErrTimeout) || !errors.As(err, &network) || !network.Timeout() {
				s.Errorf("the caller got %v", err)
			}
			if errors.Is(err, context.DeadlineExceeded) {
				s.Error("the error says that the caller's own time is up, which it is not")
			}
		})
	})
	t.Run("ends with the caller's", func(t *testing.T) {
		t.Parallel()
		onStage(t, breaker.Settings{}, func(s *stage) {
			outer, cancel := context.WithCancel(context.Background())
			_, err := breaker.Do(outer, s.b, func(ctx context.Context) (int, error) {
				cancel()
				<-ctx.Done()
				return 0, ctx.Err()
			})
			if c := s.b.Snapshot().Counts; !errors.Is(err, context.Canceled) || c.Abandoned != 1 {
				s.Errorf("err %v, counts %+v", err, c)
			}
		})
	})
	t.Run("ends with the call", func(t *testing.T) {
		t.Parallel()
		for _, asked := range []bool{true, false} {
			onStage(t, breaker.Settings{}, func(s *stage) {
				var kept context.Context
				if _, err := breaker.Do(context.Background(), s.b, func(ctx context.Context) (int, error) {
					if kept = ctx; asked && ctx.Done() == nil {
						s.Error("it never ends")
					}
					return 0, nil
				}); err != nil {
					s.Fatal(err)
				}
				<-kept.Done()
				if !errors.Is(kept.Err(), context.Canceled) {
					s.Errorf("it ended with %v", kept.Err())
				}
				time.Sleep(time.Minute)
			})
		}
	})
	t.Run("one that has ended makes no call", func(t *testing.T) {
		t.Parallel()
		onStage(t, breaker.Settings{}, func(s *stage) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_, err := breaker.Do(ctx, s.b, func(context.Context) (int, error) { s.Error("called"); return 0, nil })
			if c := s.b.Snapshot().Counts; !errors.Is(err, context.Canceled) || c != (breaker.Counts{}) {
				s.Errorf("err %v, counts %+v", err, c)
			}
		})
	})
}

// A charge that was made late was made.
func TestALateResultIsItsCallersAlthoughItCounts(t *testing.T) {
	t.Parallel()
	onStage(t, breaker.Settings{}, func(s *stage) {
		got, err := breaker.Do(context.Background(), s.b, func(context.Context) (string, error) {
			time.Sleep(11 * time.Second)
			return "receipt", nil
		})
		if c := s.b.Snapshot().Counts; got != "receipt" || err != nil || c.TimedOut != 1 || c.Succeeded != 0 {
			s.Errorf("got %q, %v; counts %+v", got, err, c)
		}
	})
}

func TestACallersFairDeadlineCountsAnUnfairOneDoesNot(t *testing.T) {
	t.Parallel()
	onStage(t, breaker.Settings{}, func(s *stage) {
		for _, patience := range []time.Duration{100 * time.Millisecond, 99 * time.Millisecond} {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			_, err := breaker.Do(ctx, s.b, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
			if cancel(); !errors.Is(err, context.DeadlineExceeded) {
				s.Errorf("got %v; want the caller's own error", err)
			}
		}
		if c := s.b.Snapshot().Counts; c.TimedOut != 1 || c.Abandoned != 1 {
			s.Errorf("counts %+v", c)
		}
	})
}

func TestAPanicCountsAndGoesOn(t *testing.T) {
	t.Parallel()
	onStage(t, breaker.Settings{MaxFailures: 2, MaxConcurrent: 1}, func(s *stage) {
		func() {
			defer func() {
				if recover() == nil {
					s.Error("the panic is lost")
				}
			}()
			_, err := breaker.Do(context.Background(), s.b, func(context.Context) (int, error) { panic("oh") })
			s.Error(err)
		}()
		var gone sync.WaitGroup
		gone.Go(func() {
			_, err := breaker.Do(context.Background(), s.b, func(context.Context) (int, error) { runtime.Goexit(); return 0, nil })
			s.Error(err)
		})
		gone.Wait()
		s.is(breaker.Open)
		if got := s.b.Snapshot(); got.Counts.Failed != 2 || got.Busy != 0 {
			s.Errorf("%+v, busy %d", got.Counts, got.Busy)
		}
	})
}

func TestWaitsGrowAndSpread(t *testing.T) {
	t.Parallel()
	onStage(t, breaker.Settings{MaxFailures: 1, ResetTimeout: time.Second, MaxResetTimeout: 5 * time.Second, ResetJitter: 0.5}, func(s *stage) {
		seen := map[time.Duration]bool{}
		for _, least := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second} {
			s.fail(1)
			wait := s.refuses().RetryAfter()
			if wait < least || wait >= least*3/2 {
				s.Errorf("the wait is %v; want %v and up to half of that more", wait, least)
			}
			seen[wait%time.Second] = true
			time.Sleep(wait)
			synctest.Wait()
		}
		if len(seen) < 2 {
			s.Error("no wait is random")
		}
	})
}

func TestTransitionsAreLoggedAndToldInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var told []string
		b, err := breaker.New(breaker.Config{
			ID: "payments", Settings: breaker.Settings{MaxFailures: 1}, OnTransition: func(tr breaker.Transition) { told = append(told, tr.String()) },
			Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}})),
		})
		if err != nil {
			t.Fatal(err)
		}
		breaker.Do(t.Context(), b, fail) //nolint:errcheck // it fails
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if _, err := breaker.Do(t.Context(), b, answer); err != nil {
			t.Fatal(err)
		}
		const wantLog = `level=WARN msg="a breaker opened: calls are refused" breaker=payments from=closed to=open reason="max-failures in a row" failures=1 wait=15s err=broken
level=INFO msg="a breaker is half-open: one call goes through as a probe" breaker=payments from=open to=half-open reason="the reset-timeout is over" failures=1
level=INFO msg="a breaker closed: calls go through again" breaker=payments from=half-open to=closed reason="the probe was answered" failures=1
`
		if got := log.String(); got != wantLog {
			t.Errorf("the log is\n%swant\n%s", got, wantLog)
		}
		const want = `breaker payments: closed -> open: max-failures in a row (1 failures in a row); calls are refused for 15s; last failure: broken
breaker payments: open -> half-open: the reset-timeout is over
breaker payments: half-open -> closed: the probe was answered`
		if got := strings.Join(told, "\n"); got != want {
			t.Errorf("told\n%s\nwant\n%s", got, want)
		}
		if n := len(b.Snapshot().Transitions); n != 3 {
			t.Errorf("a snapshot shows %d transitions", n)
		}
	})
}

// A listener that is slow holds up who made the transition, and nobody else.
func TestAListenerHearsOneTransitionAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var heard []breaker.State
		slow := make(chan struct{})
		b, err := breaker.New(breaker.Config{
			ID: "payments", Settings: breaker.Settings{MaxFailures: 1}, Logger: slog.New(slog.DiscardHandler),
			OnTransition: func(tr breaker.Transition) {
				if tr.To == breaker.Open {
					<-slow
				}
				mu.Lock()
				defer mu.Unlock()
				heard = append(heard, tr.To)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		var first sync.WaitGroup
		first.Go(func() {
			breaker.Do(t.Context(), b, fail) //nolint:errcheck // it fails
		})
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if _, err := breaker.Do(t.Context(), b, answer); err != nil || b.Snapshot().State != breaker.Closed {
			t.Errorf("the probe: %v", err)
		}
		mu.Lock()
		if len(heard) != 0 {
			t.Errorf("heard %v beside the first", heard)
		}
		mu.Unlock()
		close(slow)
		first.Wait()
		if want := []breaker.State{breaker.Open, breaker.HalfOpen, breaker.Closed}; !slices.Equal(heard, want) {
			t.Errorf("heard %v; want %v", heard, want)
		}
	})
}

func TestACallThatStreams(t *testing.T) {
	t.Parallel()
	onStage(t, breaker.Settings{MaxConcurrent: 1}, func(s *stage) {
		call, err := s.b.Start(context.Background())
		if err != nil {
			s.Fatal(err)
		}
		time.Sleep(9 * time.Second)
		call.Answered()
		call.Answered()
		time.Sleep(time.Hour)
		if err := call.Context().Err(); err != nil {
			s.Errorf("the stream's context ended: %v", err)
		}
		if got := s.b.Snapshot(); got.Counts.Succeeded != 1 || got.Busy != 1 {
			s.Errorf("counts %+v, busy %d", got.Counts, got.Busy)
		}
		if err := call.End(errBroken); !errors.Is(err, errBroken) {
			s.Error(err)
		}
		call.End(nil) //nolint:errcheck // again
		if got := s.b.Snapshot(); got.Counts != (breaker.Counts{Succeeded: 1}) || got.Busy != 0 || call.Context().Err() == nil {
			s.Errorf("counts %+v, busy %d, context %v", got.Counts, got.Busy, call.Context().Err())
		}
	})
}

func TestWrongSettingsAreNamed(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]breaker.Config{
		"Config.ID":                {},
		"Settings.Enabled":         {ID: "b", Settings: breaker.Settings{Enabled: 3}},
		"Settings.ResetTimeout":    {ID: "b", Settings: breaker.Settings{ResetTimeout: -1}},
		"Settings.MaxResetTimeout": {ID: "b", Settings: breaker.Settings{MaxResetTimeout: time.Second}},
		"Settings.ResetJitter":     {ID: "b", Settings: breaker.Settings{ResetJitter: 1.1}},
		"Settings.FailureRate":     {ID: "b", Settings: breaker.Settings{FailureRate: 50}},
		"Settings.Window":          {ID: "b", Settings: breaker.Settings{FailureRate: 0.5, Window: time.Microsecond}},
		"Settings.MinCalls":        {ID: "b", Settings: breaker.Settings{FailureRate: 0.5, MinCalls: -1}},
		"Settings.CallTimeout":     {ID: "b", Settings: breaker.Settings{CallTimeout: 9000 * time.Hour}},
	} {
		if _, err := breaker.New(cfg); err == nil || !strings.Contains(err.Error(), want+" ") {
			t.Errorf("got %v; want an error that names %s", err, want)
		}
	}
	b := mustBreaker(t, breaker.Settings{MaxFailures: 3})
	if err := b.Change(breaker.Settings{ResetTimeout: -1}); err == nil || b.Snapshot().Settings.MaxFailures != 3 {
		t.Errorf("a wrong change: %v, %+v", err, b.Snapshot().Settings)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	onStage(t, breaker.Settings{MaxFailures: 1, MaxConcurrent: 1}, func(s *stage) {
		done := s.hang(false)
		err := s.call(nil)
		if got := err.Error(); !errors.Is(err, breaker.ErrFull) || got != "breaker payments: too many calls at once" {
			s.Error(err)
		}
		time.Sleep(10 * time.Second)
		if got := (<-done).Error(); got != "breaker payments: call timed out: context deadline exceeded" {
			s.Error(got)
		}
		if got := s.refuses().Error(); got != "breaker payments: breaker is open: try again after 15s" {
			s.Error(got)
		}
		time.Sleep(15 * time.Second)
		synctest.Wait()
		s.hang(false)
		if got := s.refuses().Error(); got != "breaker payments: breaker is open: a probe is under way" {
			s.Error(got)
		}
	})
}
