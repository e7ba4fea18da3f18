package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/breaker"
)

var errAway = fmt.Errorf("connecting: %w", syscall.ECONNREFUSED)

func mustRetrier(t *testing.T, cfg breaker.RetryConfig) *breaker.Retrier {
	t.Helper()
	r, err := breaker.NewRetrier(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRetry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		errs   []error
		bound  time.Duration
		budget int // what is left of it
		calls  int
		least  time.Duration
		most   time.Duration
		last   error
	}{
		"a success at once":                   {errs: []error{nil}, calls: 1, budget: 100},
		"a success later":                     {errs: []error{errAway, errAway, nil}, calls: 3, budget: 100, least: 60 * time.Millisecond, most: 120 * time.Millisecond},
		"attempts used up":                    {errs: []error{errAway, errAway, errAway, nil}, calls: 3, budget: 100, least: 60 * time.Millisecond, most: 120 * time.Millisecond, last: errAway},
		"an answer is final":                  {errs: []error{errNo, nil}, calls: 1, budget: 100, last: errNo},
		"no time left":                        {errs: []error{errAway, nil}, calls: 1, budget: 100, bound: 20 * time.Millisecond, last: errAway},
		"no budget left":                      {errs: []error{errAway, nil}, calls: 1, last: errAway},
		"who gave up is not asked for longer": {errs: []error{context.Canceled, nil}, calls: 1, budget: 100, last: context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				budget := breaker.NewBudget()
				for range 100 - c.budget {
					budget.Take()
				}
				r := mustRetrier(t, breaker.RetryConfig{Budget: budget})
				ctx, cancel := context.WithCancel(context.Background())
				if c.bound > 0 {
					ctx, cancel = context.WithTimeout(context.Background(), c.bound)
				}
				defer cancel()
				calls, began := 0, time.Now()
				_, err := breaker.Retry(ctx, r, func(context.Context) (int, error) { calls++; return 0, c.errs[calls-1] })
				if took := time.Since(began); calls != c.calls || !errors.Is(err, c.last) || took < c.least || took > c.most {
					t.Errorf("%d calls in %v, then %v", calls, took, err)
				}
			})
		})
	}
}

// A breaker that will be open for long is not waited for; one whose time is near is.
func TestRetryMindsTheBreaker(t *testing.T) {
	t.Parallel()
	onStage(t, breaker.Settings{MaxFailures: 1}, func(s *stage) {
		r := mustRetrier(t, breaker.RetryConfig{})
		s.fail(1)
		try := func() (time.Duration, error) {
			began := time.Now()
			_, err := breaker.Retry(s.Context(), r, func(ctx context.Context) (int, error) { return breaker.Do(ctx, s.b, answer) })
			return time.Since(began), err
		}
		if took, err := try(); !errors.Is(err, breaker.ErrOpen) || took != 0 {
			s.Errorf("after %v: %v", took, err)
		}
		time.Sleep(14 * time.Second)
		if took, err := try(); err != nil || took < time.Second || took > 1040*time.Millisecond {
			s.Errorf("after %v: %v", took, err)
		}
		s.is(breaker.Closed)
	})
}

func TestABudgetComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := breaker.NewBudget()
		taken := func() (n int) {
			for b.Take() {
				n++
			}
			return n
		}
		if n := taken(); n != 100 {
			t.Errorf("%d at once", n)
		}
		for range 51 {
			b.Succeeded()
		}
		if n := taken(); n != 5 {
			t.Errorf("%d after 51 successes", n)
		}
		time.Sleep(7 * time.Second)
		if n := taken(); n != 7 {
			t.Errorf("%d after 7 s", n)
		}
		time.Sleep(time.Hour)
		if n := taken(); n != 100 {
			t.Errorf("%d after an hour", n)
		}
	})
}

func TestIsUnavailable(t *testing.T) {
	t.Parallel()
	for want, errs := range map[bool][]error{
		true:  {errAway, io.ErrUnexpectedEOF, &net.OpError{Op: "read", Err: syscall.ECONNRESET}, fmt.Errorf("w: %w", &breaker.Error{Kind: breaker.ErrTimeout})},
		false: {errNo, context.Canceled, context.DeadlineExceeded, io.EOF},
	} {
		for _, err := range errs {
			if breaker.IsUnavailable(err) != want {
				t.Errorf("%v: want %v", err, want)
			}
		}
	}
}

func TestHedge(t *testing.T) {
	t.Parallel()
	const after = 50 * time.Millisecond
	type answer struct {
		after time.Duration
		err   error
	}
	for name, c := range map[string]struct {
		answers []answer
		calls   int
		took    time.Duration
		want    int
		err     error
	}{
		"the first is quick":                   {[]answer{{10 * time.Millisecond, nil}}, 1, 10 * time.Millisecond, 1, nil},
		"the first fails quickly":              {[]answer{{10 * time.Millisecond, errBroken}}, 1, 10 * time.Millisecond, 0, errBroken},
		"the second wins":                      {[]answer{{time.Hour, nil}, {5 * time.Millisecond, nil}}, 2, 55 * time.Millisecond, 2, nil},
		"the first wins after all":             {[]answer{{60 * time.Millisecond, nil}, {time.Hour, nil}}, 2, 60 * time.Millisecond, 1, nil},
		"the first fails late, the second not": {[]answer{{60 * time.Millisecond, errBroken}, {20 * time.Millisecond, nil}}, 2, 70 * time.Millisecond, 2, nil},
		"both fail":                            {[]answer{{60 * time.Millisecond, errBroken}, {20 * time.Millisecond, errBroken}}, 2, 70 * time.Millisecond, 0, errBroken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onStage(t, breaker.Settings{MaxFailures: 3}, func(s *stage) {
				h, err := breaker.NewHedger(breaker.HedgeConfig{After: after})
				if err != nil {
					s.Fatal(err)
				}
				calls := make(chan int, 2)
				calls <- 1
				began := time.Now()
				got, err := breaker.Hedge(s.Context(), h, func(ctx context.Context) (int, error) {
					return breaker.Do(ctx, s.b, func(ctx context.Context) (int, error) {
						n := <-calls
						calls <- n + 1
						select {
						case <-time.After(c.answers[n-1].after):
							if c.answers[n-1].err != nil {
								return 0, c.answers[n-1].err
							}
							return n, nil
						case <-ctx.Done():
							return 0, ctx.Err()
						}
					})
				})
				if took := time.Since(began); got != c.want || !errors.Is(err, c.err) || took != c.took {
					s.Errorf("got %d, %v after %v", got, err, took)
				}
				h.Wait()
				if n := <-calls - 1; n != c.calls {
					s.Errorf("%d calls; want %d", n, c.calls)
				}
				if counts := s.b.Snapshot().Counts; counts.TimedOut != 0 || c.err == nil && c.calls == 2 && counts.Abandoned+counts.Failed != 1 {
					s.Errorf("the loser is no failure: %+v", counts)
				}
			})
		})
	}
}

func TestHedgePassesAPanicOn(t *testing.T) {
	t.Parallel()
	h, err := breaker.NewHedger(breaker.HedgeConfig{After: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if got := recover(); got != "oh" {
			t.Errorf("recovered %v", got)
		}
	}()
	breaker.Hedge(t.Context(), h, func(context.Context) (int, error) { panic("oh") }) //nolint:errcheck // it panics
}

func TestWrongConfigsOfRepeatsAreNamed(t *testing.T) {
	t.Parallel()
	_, noAfter := breaker.NewHedger(breaker.HedgeConfig{})
	_, attempts := breaker.NewRetrier(breaker.RetryConfig{MaxAttempts: -1})
	_, least := breaker.NewRetrier(breaker.RetryConfig{MinBackoff: -1})
	_, most := breaker.NewRetrier(breaker.RetryConfig{MinBackoff: time.Second, MaxBackoff: time.Millisecond})
	for want, err := range map[string]error{
		"HedgeConfig.After": noAfter, "RetryConfig.MaxAttempts": attempts, "RetryConfig.MinBackoff": least, "RetryConfig.MaxBackoff": most,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want it to name %s", err, want)
		}
	}
}
