package breaker_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/breaker"
)

// However many come when the reset-timeout is over, one goes through. Each round ends differently.
func TestExactlyOneProbeUnderAThousandCallers(t *testing.T) {
	t.Parallel()
	const callers = 1000
	onStage(t, breaker.Settings{}, func(s *stage) {
		s.fail(10)
		for round, end := range []error{errBroken, context.Canceled, errBroken, nil} {
			time.Sleep(15 * time.Second)
			synctest.Wait()
			var through, refused atomic.Int32
			var all sync.WaitGroup
			answer := make(chan error)
			for range callers {
				all.Go(func() {
					_, err := breaker.Do(s.Context(), s.b, func(context.Context) (int, error) { through.Add(1); return 0, <-answer })
					if errors.Is(err, breaker.ErrOpen) {
						refused.Add(1)
					}
				})
			}
			synctest.Wait()
			if through.Load() != 1 || refused.Load() != callers-1 {
				s.Fatalf("round %d: %d calls went through and %d were refused", round, through.Load(), refused.Load())
			}
			answer <- end
			all.Wait()
		}
		s.is(breaker.Closed)
	})
}

// Callers, changes of settings and onlookers at once, on real goroutines: each call is counted once.
func TestEachCallIsCountedOnce(t *testing.T) {
	t.Parallel()
	b := mustBreaker(t, breaker.Settings{MaxFailures: 3, CallTimeout: time.Minute, ResetTimeout: time.Millisecond})
	const callers, each = 8, 2000
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			for n := range each {
				_, err := breaker.Do(t.Context(), b, func(context.Context) (int, error) {
					if (n/10+c)%3 == 0 {
						return 0, errBroken
					}
					return 1, nil
				})
				if err != nil && !errors.Is(err, errBroken) && !errors.Is(err, breaker.ErrOpen) {
					t.Error(err)
				}
				if n%100 == 0 {
					if err := b.Change(breaker.Settings{MaxFailures: 2 + n/100%3, CallTimeout: -1 + time.Duration(n/100%2)*time.Minute, ResetTimeout: time.Millisecond}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	c := b.Snapshot().Counts
	if sum := c.Succeeded + c.Failed + c.TimedOut + c.Late + c.Refused; sum != callers*each || c.Rejected+c.Slow+c.Abandoned+c.Full != 0 {
		t.Errorf("%d calls are counted as %d: %+v", callers*each, sum, c)
	}
	if c.Opened == 0 || c.HalfOpened == 0 || c.Refused == 0 {
		t.Errorf("nothing happened: %+v", c)
	}
}
