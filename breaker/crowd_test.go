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

// Callers and changes of settings at once, on real goroutines, until the breaker went all its ways: each call is
// counted once.
func TestEachCallIsCountedOnce(t *testing.T) {
	t.Parallel()
	b := mustBreaker(t, breaker.Settings{MaxFailures: 3, CallTimeout: time.Minute, ResetTimeout: time.Millisecond})
	const callers, least = 8, 16000
	enough := func() bool {
		c := b.Snapshot().Counts
		return c.Refused > 0 && c.HalfOpened > 0 && c.Closed > 0
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var made atomic.Int64
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for ctx.Err() == nil {
				n := made.Add(1)
				_, err := breaker.Do(t.Context(), b, func(context.Context) (int, error) {
					if n/50%3 == 0 { // more in a row than callers can mix up
						return 0, errBroken
					}
					return 1, nil
				})
				if err != nil && !errors.Is(err, errBroken) && !errors.Is(err, breaker.ErrOpen) {
					t.Error(err)
				}
				if n%100 != 0 {
					continue
				}
				if err := b.Change(breaker.Settings{MaxFailures: int(2 + n/100%3), CallTimeout: -1 + time.Duration(n/100%2)*time.Minute, ResetTimeout: time.Millisecond}); err != nil {
					t.Error(err)
				}
				if n >= least && enough() {
					return
				}
			}
		})
	}
	all.Wait()
	c := b.Snapshot().Counts
	if sum := c.Succeeded + c.Failed + c.TimedOut + c.Late + c.Refused; sum != uint64(made.Load()) || c.Rejected+c.Slow+c.Abandoned+c.Full != 0 {
		t.Errorf("%d calls are counted as %d: %+v", made.Load(), sum, c)
	}
	if !enough() {
		t.Errorf("not all ways were gone: %+v", c)
	}
}
