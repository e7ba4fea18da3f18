package breaker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"time"
)

// RetryConfig says how a [Retrier] repeats calls. All fields are optional.
type RetryConfig struct {
	// MaxAttempts counts the first too. Default 3.
	MaxAttempts int
	// MinBackoff is the pause after the first attempt; it doubles up to MaxBackoff, each a random
	// part longer, up to twice. A service that asks for more than that is not asked again. Default 20 ms and 2 s.
	MinBackoff time.Duration
	MaxBackoff time.Duration
	// Budget bounds the repeats of all callers. Default: one of the Retrier's own.
	Budget *Budget
	// Retryable tells which errors are worth it. Default: IsUnavailable.
	Retryable func(error) bool
}

// Retrier repeats calls. One is shared by all that call the same service; it may be used concurrently.
type Retrier struct{ cfg RetryConfig }

// NewRetrier returns a Retrier.
func NewRetrier(cfg RetryConfig) (*Retrier, error) {
	fill(&cfg.MaxAttempts, 3)
	fill(&cfg.MinBackoff, 20*time.Millisecond)
	fill(&cfg.MaxBackoff, max(2*time.Second, cfg.MinBackoff))
	switch {
	case cfg.MaxAttempts < 1:
		return nil, fmt.Errorf("breaker: RetryConfig.MaxAttempts is %d; it must be 1 or more", cfg.MaxAttempts)
	case cfg.MinBackoff < 0:
		return nil, fmt.Errorf("breaker: RetryConfig.MinBackoff is %v; it cannot be negative", cfg.MinBackoff)
	case cfg.MaxBackoff < cfg.MinBackoff:
		return nil, fmt.Errorf("breaker: RetryConfig.MaxBackoff is %v; it must not be below MinBackoff (%v)", cfg.MaxBackoff, cfg.MinBackoff)
	}
	if cfg.Budget == nil {
		cfg.Budget = NewBudget()
	}
	if cfg.Retryable == nil {
		cfg.Retryable = IsUnavailable
	}
	return &Retrier{cfg}, nil
}

// IsUnavailable tells errors of the service or of the way to it from all others: those of breakers, of the
// network, and those that say so with a method Unavailable() bool. The call may have had an effect all the same.
func IsUnavailable(err error) bool {
	var says interface{ Unavailable() bool }
	var network net.Error
	switch {
	case errors.As(err, &says):
		return says.Unavailable()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return false // a net.Error too, but its caller's
	case errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return true
	}
	return false
}

// Retry calls fn until it succeeds, fails for good, or time, attempts or budget are used up, and returns what came last.
// Only for calls that may be repeated: queries, and commands with a key. Around [Do], not within, so that the breaker sees
// each attempt:
//
//	receipt, err := breaker.Retry(ctx, retrier, func(ctx context.Context) (string, error) {
//		return breaker.Do(ctx, payments, charge)
//	})
func Retry[T any](ctx context.Context, r *Retrier, fn func(context.Context) (T, error)) (T, error) {
	for attempt := 1; ; attempt++ {
		result, err := fn(ctx)
		if err == nil {
			r.cfg.Budget.Succeeded()
			return result, nil
		}
		if !r.again(ctx, attempt, err) {
			return result, err
		}
	}
}

// again waits before another attempt, or tells that there is none.
func (r *Retrier) again(ctx context.Context, attempt int, err error) bool {
	if attempt >= r.cfg.MaxAttempts || ctx.Err() != nil || !r.cfg.Retryable(err) {
		return false
	}
	wait := r.pause(attempt)
	var asks interface{ RetryAfter() time.Duration }
	if errors.As(err, &asks) {
		wait += asks.RetryAfter() // apart from others who were told the same
	}
	deadline, bound := ctx.Deadline()
	if wait > 2*r.cfg.MaxBackoff || bound && time.Until(deadline) <= wait || !r.cfg.Budget.Take() {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// pause doubles with each attempt and is up to as long again, at random.
func (r *Retrier) pause(attempt int) time.Duration {
	d := r.cfg.MinBackoff
	for range attempt - 1 {
		if d = 2 * d; d >= r.cfg.MaxBackoff {
			d = r.cfg.MaxBackoff
			break
		}
	}
	return d + time.Duration(rand.Int64N(int64(d)+1)) //nolint:gosec // spreads repeats, guards nothing
}
