package breaker_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/breaker"
)

// outage is how a service fails: what a call does while it lasts.
var outages = map[string]func(context.Context) error{
	"refuses": func(context.Context) error { return errAway },
	"hangs":   func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	"is slow": func(context.Context) error { time.Sleep(11 * time.Second); return nil },
	"fails slowly": func(context.Context) error {
		time.Sleep(4 * time.Second)
		return errBroken
	},
}

// Twenty callers go on calling, ten times a second, through an outage of five minutes; some give up
// after a second. Once the breaker has opened, the service gets one call in a reset-timeout; when it is back, it serves again
// within one, or at most a call-timeout later if a probe hung just then.
func TestAServiceThatIsDownIsLeftAloneAndFoundWhenItIsBack(t *testing.T) {
	t.Parallel()
	const outage, reset, call = 5 * time.Minute, 15 * time.Second, 10 * time.Second
	for name, down := range outages {
		for who, patience := range map[string]time.Duration{"patient callers": time.Hour, "callers who give up": time.Second} {
			t.Run(name+", "+who, func(t *testing.T) {
				t.Parallel()
				onStage(t, breaker.Settings{}, func(s *stage) {
					began := time.Now()
					var mu sync.Mutex
					var came []time.Duration // calls that reach the service after the breaker opened
					var served time.Duration // the first success after the outage
					work := func(ctx context.Context, opened bool) (int, error) {
						at := time.Since(began)
						if at >= outage {
							return 1, nil
						}
						if opened {
							mu.Lock()
							came = append(came, at)
							mu.Unlock()
						}
						return 0, down(ctx)
					}
					var callers sync.WaitGroup
					for range 20 {
						callers.Go(func() {
							for time.Since(began) < outage+time.Minute {
								ctx, cancel := context.WithCancel(context.Background())
								stop := time.AfterFunc(patience, cancel)
								// Looked at before the call: others may open the breaker while one that was let through begins.
								opened := s.b.Snapshot().State != breaker.Closed
								_, err := breaker.Do(ctx, s.b, func(ctx context.Context) (int, error) { return work(ctx, opened) })
								stop.Stop()
								cancel()
								mu.Lock()
								if at := time.Since(began); err == nil && at >= outage && served == 0 && s.b.Snapshot().State == breaker.Closed {
									served = at
								}
								mu.Unlock()
								time.Sleep(100 * time.Millisecond)
							}
						})
					}
					callers.Wait()
					synctest.Wait()
					slices.Sort(came)
					for i := 1; i < len(came); i++ {
						if gap := came[i] - came[i-1]; gap < reset {
							s.Errorf("probes %v apart", gap)
						}
					}
					// Callers who cancel a hanging call say nothing about the service, so nothing opens.
					if opens := s.b.Snapshot().Counts.Opened > 0; opens != (len(came) > 0) {
						s.Errorf("opened %v, %d probes", opens, len(came))
					}
					if late := served - outage; served == 0 || late > reset+call+time.Second {
						s.Errorf("it serves %v after the outage", late)
					}
				})
			})
		}
	}
}

// A service that comes and goes: each second it works, or refuses. Callers are never refused for longer than a reset-timeout
// by a service that answers probes.
func TestAServiceThatFlaps(t *testing.T) {
	t.Parallel()
	onStage(t, breaker.Settings{MaxFailures: 3}, func(s *stage) {
		began, last, worst := time.Now(), time.Now(), time.Duration(0)
		for time.Since(began) < 10*time.Minute {
			var outcome error
			if time.Since(began)/time.Second%2 == 1 {
				outcome = errAway
			}
			if err := s.call(outcome); err == nil || !errors.Is(err, breaker.ErrOpen) {
				worst, last = max(worst, time.Since(last)), time.Now()
			}
			time.Sleep(50 * time.Millisecond)
		}
		if worst > 16*time.Second {
			s.Errorf("callers were refused for %v", worst)
		}
		if c := s.b.Snapshot().Counts; c.Opened == 0 || c.Closed == 0 {
			s.Errorf("it does not flap: %+v", c)
		}
	})
}
