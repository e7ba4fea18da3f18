package breaker

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// HedgeConfig says when a [Hedger] asks a second time.
type HedgeConfig struct {
	// After is how long the first call may take alone; about the time that 95 of 100 take. Required.
	After time.Duration
	// Budget bounds the second calls of all callers. Default: one of the Hedger's own.
	Budget *Budget
}

// Hedger asks a second time when the first answer is late. One is shared by all that ask the same service; it
// may be used concurrently.
type Hedger struct {
	cfg     HedgeConfig
	running sync.WaitGroup
}

// NewHedger returns a Hedger.
func NewHedger(cfg HedgeConfig) (*Hedger, error) {
	if cfg.After <= 0 {
		return nil, fmt.Errorf("breaker: HedgeConfig.After is %v; it must be positive: give the time that most calls take", cfg.After)
	}
	if cfg.Budget == nil {
		cfg.Budget = NewBudget()
	}
	return &Hedger{cfg: cfg}, nil
}

// Wait returns when no call of the Hedger runs any more. One that has lost is canceled, and runs
// until it notices.
func (h *Hedger) Wait() { h.running.Wait() }

type hedged[T any] struct {
	result   T
	err      error
	panicked any
}

// Hedge calls fn, and once more if there is no answer after HedgeConfig.After. The first success is the result;
// the other call is canceled, which no breaker counts. Only for reads: both calls may
// have run. A call that fails before the second has begun ends it all; Hedge does not repeat.
func Hedge[T any](ctx context.Context, h *Hedger, fn func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan hedged[T], 2)
	ask := func() {
		h.running.Go(func() {
			var a hedged[T]
			defer func() {
				a.panicked = recover()
				answers <- a
			}()
			a.result, a.err = fn(ctx)
		})
	}
	ask()
	timer := time.NewTimer(h.cfg.After)
	defer timer.Stop()
	asked := 1
	for {
		select {
		case <-timer.C:
			if h.cfg.Budget.Take() {
				ask()
				asked++
			}
		case a := <-answers:
			if a.panicked != nil {
				panic(a.panicked)
			}
			if asked--; a.err == nil || asked == 0 {
				if a.err == nil {
					h.cfg.Budget.Succeeded()
				}
				return a.result, a.err
			}
		}
	}
}
