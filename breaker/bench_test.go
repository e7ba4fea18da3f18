package breaker_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/timeout"
	"github.com/sony/gobreaker/v2"

	"github.com/skerryhq/skerry/breaker"
)

// Each benchmark runs a call that costs nothing through the three libraries, side by side:
//
//	go test -run '^$' -bench . -cpu 1,2 ./breaker
//
// With two cores, cpu-ns/op is the sum over both. failsafe-go is measured twice: as its manual shows it, and with the breaker alone, asked by hand.

var errBroken = errors.New("broken")

func answer(context.Context) (int, error) { return 1, nil }

func fail(context.Context) (int, error) { return 0, errBroken }

// rival is one library's way to make a call.
type rival struct {
	name string
	call func() error
}

// contenders returns the libraries with a breaker each, closed, or open if broken is set.
func contenders(b *testing.B, callTimeout time.Duration, broken bool) []rival {
	ctx := context.Background()
	work := answer
	if broken {
		work = fail
	}
	plain := func() (int, error) { return work(ctx) }
	ours := mustBreaker(b, breaker.Settings{CallTimeout: callTimeout, ResetTimeout: time.Hour})
	theirs := gobreaker.NewCircuitBreaker[int](gobreaker.Settings{
		Timeout: time.Hour, ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 10 },
	})
	builder := func() circuitbreaker.CircuitBreaker[int] {
		return circuitbreaker.NewBuilder[int]().WithFailureThreshold(10).WithDelay(time.Hour).Build()
	}
	whole := failsafe.With(builder())
	if callTimeout > 0 {
		whole = failsafe.With(builder(), timeout.New[int](callTimeout))
	}
	alone := builder()
	all := []rival{
		{"skerry", func() error { _, err := breaker.Do(ctx, ours, work); return err }},
		{"gobreaker", func() error { _, err := theirs.Execute(plain); return err }},
		{"failsafe", func() error { _, err := whole.Get(plain); return err }},
		{"failsafe-by-hand", func() error {
			if !alone.TryAcquirePermit() {
				return circuitbreaker.ErrOpen
			}
			_, err := plain()
			if err != nil {
				alone.RecordFailure()
			} else {
				alone.RecordSuccess()
			}
			return err
		}},
	}
	if callTimeout > 0 {
		all = []rival{all[0], all[2]} // the others have no timeout
	}
	for range 10 {
		for _, r := range all {
			if err := r.call(); (err != nil) != broken {
				b.Fatalf("%s: %v", r.name, err)
			}
		}
	}
	return all
}

func mustBreaker(tb testing.TB, s breaker.Settings) *breaker.Breaker {
	tb.Helper()
	made, err := breaker.New(breaker.Config{ID: "payments", Settings: s, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	return made
}

func compare(b *testing.B, all []rival) {
	for _, r := range all {
		b.Run(r.name, func(b *testing.B) {
			b.ReportAllocs()
			began := cpuTime()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_ = r.call() // the refusal of an open breaker too is what is measured
				}
			})
			b.ReportMetric(float64(cpuTime()-began)/float64(b.N), "cpu-ns/op")
		})
	}
}

// A closed breaker without a call-timeout.
func BenchmarkClosed(b *testing.B) { compare(b, contenders(b, -1, false)) }

// A closed breaker with a call-timeout that does not pass.
func BenchmarkClosedWithTimeout(b *testing.B) { compare(b, contenders(b, 10*time.Second, false)) }

// A refusal by an open breaker.
func BenchmarkOpen(b *testing.B) { compare(b, contenders(b, -1, true)) }
