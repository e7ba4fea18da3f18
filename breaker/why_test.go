package breaker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/sony/gobreaker/v2"
)

// What the other machines do where this package promises otherwise. A test that fails here is good news: the
// library has learned it, and the decision in doc.go can be looked at again.

func opened(t *testing.T) circuitbreaker.CircuitBreaker[any] {
	t.Helper()
	cb := circuitbreaker.NewBuilder[any]().WithFailureThreshold(1).WithDelay(time.Second).Build()
	if !cb.TryAcquirePermit() {
		t.Fatal("closed refuses")
	}
	cb.RecordFailure()
	if !cb.IsOpen() {
		t.Fatal("one failure should open it")
	}
	return cb
}

func TestWhyNotFailsafe(t *testing.T) {
	t.Parallel()
	t.Run("a result of before the outage closes half-open", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			cb := opened(t) // and one more call, admitted before, is still under way
			time.Sleep(time.Second)
			if !cb.TryAcquirePermit() {
				t.Fatal("no probe")
			}
			cb.RecordSuccess() // the old call; the probe has not returned
			if !cb.IsClosed() {
				t.Error("failsafe-go knows generations now")
			}
		})
	})
	t.Run("a probe that hangs blocks for ever", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			cb := opened(t)
			time.Sleep(time.Second)
			if !cb.TryAcquirePermit() {
				t.Fatal("no probe")
			}
			time.Sleep(24 * time.Hour)
			if cb.TryAcquirePermit() || !cb.IsHalfOpen() {
				t.Error("failsafe-go gives a probe a deadline now")
			}
		})
	})
	t.Run("a failure that comes late keeps its place in half-open", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			cb := circuitbreaker.NewBuilder[any]().WithFailureThreshold(1).WithSuccessThreshold(2).WithDelay(time.Second).Build()
			cb.RecordFailure()
			time.Sleep(time.Second)
			for place := range 3 {
				if cb.TryAcquirePermit() != (place < 2) {
					t.Fatal("want two places")
				}
			}
			cb.RecordSuccess() // an old call
			if !cb.TryAcquirePermit() {
				t.Error("failsafe-go does not take an old call's end for a place that is free now")
			}
		})
	})
}

func TestWhyNotGobreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cb := gobreaker.NewCircuitBreaker[int](gobreaker.Settings{
			Timeout: time.Second, ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 1 },
		})
		if _, err := cb.Execute(func() (int, error) { return 0, errBroken }); err == nil {
			t.Fatal("the call's error is lost")
		}
		time.Sleep(2 * time.Second)
		hang := make(chan struct{})
		go func() {
			_, err := cb.Execute(func() (int, error) { <-hang; return 1, nil })
			if err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		time.Sleep(24 * time.Hour)
		if _, err := cb.Execute(func() (int, error) { return 1, nil }); err == nil {
			t.Error("gobreaker gives a probe a deadline now")
		}
		close(hang)
		synctest.Wait()
	})
}
