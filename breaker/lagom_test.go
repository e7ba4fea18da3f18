package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/breaker"
)

// The sentences of Lagom's reference, "Circuit Breakers" in "Consuming services", and of its reference.conf, one by one.

// stage is a breaker on fake time with shorthand for calls.
type stage struct {
	*testing.T
	b     *breaker.Breaker
	calls int // that went through
}

func onStage(t *testing.T, s breaker.Settings, play func(*stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { play(&stage{T: t, b: mustBreaker(t, s)}) })
}

// call makes one that returns err.
func (s *stage) call(err error) error {
	_, got := breaker.Do(context.Background(), s.b, func(context.Context) (int, error) { s.calls++; return 0, err })
	return got
}

func (s *stage) fail(times int) {
	s.Helper()
	for range times {
		if err := s.call(errBroken); !errors.Is(err, errBroken) {
			s.Fatalf("a failure returned %v", err)
		}
	}
}

func (s *stage) is(want breaker.State) {
	s.Helper()
	if got := s.b.Snapshot().State; got != want {
		s.Fatalf("it is %v; want %v", got, want)
	}
}

// refuses checks that a call is refused without being made.
func (s *stage) refuses() *breaker.Error {
	s.Helper()
	before := s.calls
	err := s.call(nil)
	var refused *breaker.Error
	if !errors.As(err, &refused) || !errors.Is(err, breaker.ErrOpen) || s.calls != before {
		s.Fatalf("it returned %v after %d calls; want it refused", err, s.calls-before)
	}
	return refused
}

// hang starts a call that waits for its context, or with ignore for the end of the test.
func (s *stage) hang(ignore bool) (result <-chan error) {
	s.Helper()
	done, release := make(chan error, 1), make(chan struct{})
	s.Cleanup(func() {
		close(release)
		if err := <-done; err != nil && !errors.Is(err, breaker.ErrTimeout) && !errors.Is(err, context.Canceled) {
			s.Error(err)
		}
	})
	go func() {
		_, err := breaker.Do(s.Context(), s.b, func(ctx context.Context) (int, error) {
			if ignore {
				<-release
				return 0, nil
			}
			<-ctx.Done()
			return 0, ctx.Err()
		})
		done <- err
		close(done)
	}()
	synctest.Wait()
	return done
}

func TestLagomsDefaults(t *testing.T) {
	t.Parallel()
	s := mustBreaker(t, breaker.Settings{}).Snapshot().Settings
	got := fmt.Sprintln("enabled", s.Enabled == breaker.On, "max-failures", s.MaxFailures, "call-timeout", s.CallTimeout, "reset-timeout", s.ResetTimeout, "exceptions", len(s.Ignore))
	if want := "enabled true max-failures 10 call-timeout 10s reset-timeout 15s exceptions 0\n"; got != want {
		t.Errorf("got %swant %s", got, want)
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	t.Run("exceptions increment a failure counter", func(t *testing.T) {
		t.Parallel()
		onStage(t, breaker.Settings{}, func(s *stage) {
			s.fail(9)
			if n := s.b.Snapshot().Failures; n != 9 {
				s.Errorf("the counter is %d", n)
			}
			s.is(breaker.Closed)
		})
	})
	t.Run("calls exceeding the call-timeout increment it", func(t *testing.T) {
		t.Parallel()
		for _, ignore := range []bool{false, true} {
			onStage(t, breaker.Settings{}, func(s *stage) {
				done := s.hang(ignore)
				time.Sleep(10*time.Second - time.Nanosecond)
				synctest.Wait()
				if n := s.b.Snapshot().Failures; n != 0 {
					s.Errorf("ignoring its context %v: %d failures before the call-timeout", ignore, n)
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				if n := s.b.Snapshot().Failures; n != 1 {
					s.Errorf("ignoring its context %v: %d failures after the call-timeout; want 1", ignore, n)
				}
				if !ignore {
					if err := <-done; !errors.Is(err, breaker.ErrTimeout) {
						s.Errorf("the caller got %v", err)
					}
				}
			})
		}
	})
	t.Run("successes reset the failure count to zero", func(t *testing.T) {
		t.Parallel()
		onStage(t, breaker.Settings{}, func(s *stage) {
			s.fail(9)
			if err := s.call(nil); err != nil {
				s.Fatal(err)
			}
			s.fail(9)
			s.is(breaker.Closed)
		})
	})
	t.Run("at max-failures the breaker is tripped into open", func(t *testing.T) {
		t.Parallel()
		onStage(t, breaker.Settings{}, func(s *stage) {
			s.fail(10)
			s.is(breaker.Open)
		})
	})
}

func TestOpen(t *testing.T) {
	t.Parallel()
	t.Run("all calls fail fast", func(t *testing.T) {
		t.Parallel()
		onStage(t, breaker.Settings{}, func(s *stage) {
			s.fail(10)
			time.Sleep(5 * time.Second)
			if wait := s.refuses().RetryAfter(); wait != 10*time.Second {
				s.Errorf("retry after %v; want 10s", wait)
			}
		})
	})
	t.Run("after the reset-timeout it enters half-open", func(t *testing.T) {
		t.Parallel()
		onStage(t, breaker.Settings{}, func(s *stage) {
			s.fail(10)
			time.Sleep(15*time.Second - time.Nanosecond)
			if wait := s.refuses().RetryAfter(); wait > time.Millisecond {
				s.Errorf("retry after %v", wait)
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			s.hang(false)
			s.is(breaker.HalfOpen)
		})
	})
}

func TestHalfOpen(t *testing.T) {
	t.Parallel()
	halfOpen := func(t *testing.T, play func(*stage)) {
		t.Helper()
		onStage(t, breaker.Settings{}, func(s *stage) {
			s.fail(10)
			time.Sleep(15 * time.Second)
			synctest.Wait()
			play(s)
		})
	}
	t.Run("the first call is allowed through, all others fail fast", func(t *testing.T) {
		t.Parallel()
		halfOpen(t, func(s *stage) {
			s.hang(false)
			if wait := s.refuses().RetryAfter(); wait != time.Second {
				s.Errorf("retry after %v; want no more than 1s: the probe may be answered at any moment", wait)
			}
		})
	})
	t.Run("if the first call succeeds the breaker is reset to closed", func(t *testing.T) {
		t.Parallel()
		halfOpen(t, func(s *stage) {
			if err := s.call(nil); err != nil {
				s.Fatal(err)
			}
			s.is(breaker.Closed)
			s.fail(9)
			s.is(breaker.Closed)
		})
	})
	t.Run("if it fails the breaker is open for another full reset-timeout", func(t *testing.T) {
		t.Parallel()
		halfOpen(t, func(s *stage) {
			time.Sleep(3 * time.Second)
			s.fail(1)
			s.is(breaker.Open)
			if wait := s.refuses().RetryAfter(); wait != 15*time.Second {
				s.Errorf("retry after %v; want 15s", wait)
			}
		})
	})
	t.Run("a probe that hangs reopens at its deadline", func(t *testing.T) {
		t.Parallel()
		halfOpen(t, func(s *stage) {
			s.hang(true)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			s.is(breaker.Open)
			if wait := s.refuses().RetryAfter(); wait != 15*time.Second {
				s.Errorf("retry after %v; want 15s", wait)
			}
		})
	})
}

func TestExceptionWhitelist(t *testing.T) {
	t.Parallel()
	notFound := errors.New("not found")
	onStage(t, breaker.Settings{Ignore: []breaker.Match{breaker.MatchIs(notFound)}}, func(s *stage) {
		s.fail(9)
		if err := s.call(fmt.Errorf("lot 7: %w", notFound)); !errors.Is(err, notFound) {
			s.Errorf("the caller got %v; want the exception although it does not count", err)
		}
		if n := s.b.Snapshot().Failures; n != 0 {
			s.Errorf("%d failures in a row; want none: it was an answer", n)
		}
		s.fail(10)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if err := s.call(notFound); !errors.Is(err, notFound) {
			s.Fatal(err)
		}
		s.is(breaker.Closed)
	})
}

func TestEnabledOff(t *testing.T) {
	t.Parallel()
	onStage(t, breaker.Settings{Enabled: breaker.Off}, func(s *stage) {
		s.fail(100)
		if got := s.b.Snapshot(); got.Enabled || got.Counts != (breaker.Counts{}) {
			s.Errorf("it counts although it is off: %+v", got.Counts)
		}
	})
}
