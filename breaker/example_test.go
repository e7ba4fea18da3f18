package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/skerryhq/skerry/breaker"
)

// quiet keeps the log out of the examples.
var quiet = slog.New(slog.DiscardHandler)

// declined stands for a business rejection, such as an *entity.Rejection.
type declined struct{ why string }

func (d *declined) Error() string { return "declined: " + d.why }

// A call that fails too often is not made any more; the error says when to come again.
func ExampleDo() {
	payments, err := breaker.New(breaker.Config{ID: "payments", Settings: breaker.Settings{MaxFailures: 3, ResetTimeout: time.Minute}, Logger: quiet})
	if err != nil {
		fmt.Println(err)
		return
	}
	charge := func(context.Context) (string, error) { return "", errors.New("connection refused") }
	for range 4 {
		_, err := breaker.Do(context.Background(), payments, charge)
		var refused *breaker.Error
		switch {
		case errors.As(err, &refused) && refused.Refused(): // it was not made
			fmt.Println("refused; again within a minute:", refused.RetryAfter() <= time.Minute)
		case errors.Is(err, breaker.ErrTimeout): // it may have had an effect: repeat it with the same key only
		case err != nil:
			fmt.Println("failed:", err)
		}
	}
	// Output:
	// failed: connection refused
	// failed: connection refused
	// failed: connection refused
	// refused; again within a minute: true
}

// An answer that the caller does not like is an answer: the service is well.
func ExampleMatchAs() {
	payments, err := breaker.New(breaker.Config{ID: "payments", Logger: quiet, Settings: breaker.Settings{
		MaxFailures: 1,
		Ignore:      []breaker.Match{breaker.MatchAs[*declined]()},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 3 {
		_, err = breaker.Do(context.Background(), payments, func(context.Context) (string, error) { return "", &declined{"no funds"} })
		fmt.Println(err)
	}
	s := payments.Snapshot()
	fmt.Println(s.State, "after", s.Counts.Rejected, "rejections")
	// Output:
	// declined: no funds
	// declined: no funds
	// declined: no funds
	// closed after 3 rejections
}

// A group owns the breakers of a service, each with the settings under its id, of its service, or of default.
func ExampleGroup() {
	group, err := breaker.NewGroup(breaker.GroupConfig{Logger: quiet, Settings: map[string]breaker.Settings{
		"default":         {CallTimeout: 5 * time.Second},
		"payments":        {MaxFailures: 5},
		"payments/Report": {CallTimeout: time.Minute},
		"mail":            {Enabled: breaker.Off},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, id := range []string{"payments/Charge", "payments/Report", "mail/Send"} {
		group.Breaker(id) // there from its first use
	}
	if err := group.Change("default", breaker.Settings{CallTimeout: 3 * time.Second}); err != nil { // keeps all counts
		fmt.Println(err)
	}
	for _, b := range group.Snapshot() {
		fmt.Println(b.ID, b.State, b.Enabled, b.Settings.MaxFailures, b.Settings.CallTimeout)
	}
	// Output:
	// mail/Send closed false 10 3s
	// payments/Charge closed true 5 3s
	// payments/Report closed true 5 1m0s
}

// A call whose answer is a stream counts with its first message, and has no call-timeout from there.
func ExampleBreaker_Start() {
	prices, err := breaker.New(breaker.Config{ID: "prices", Logger: quiet})
	if err != nil {
		fmt.Println(err)
		return
	}
	call, err := prices.Start(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	for message := range 3 { // with call.Context()
		call.Answered()
		fmt.Println("message", message)
	}
	fmt.Println(call.End(nil), prices.Snapshot().Counts.Succeeded)
	// Output:
	// message 0
	// message 1
	// message 2
	// <nil> 1
}

// Repeats stand around the breaker, so that it sees each attempt, and within a budget.
func ExampleRetry() {
	payments, err := breaker.New(breaker.Config{ID: "payments", Logger: quiet})
	if err != nil {
		fmt.Println(err)
		return
	}
	retrier, err := breaker.NewRetrier(breaker.RetryConfig{MinBackoff: time.Millisecond})
	if err != nil {
		fmt.Println(err)
		return
	}
	attempts := 0
	receipt, err := breaker.Retry(context.Background(), retrier, func(ctx context.Context) (string, error) {
		return breaker.Do(ctx, payments, func(context.Context) (string, error) {
			if attempts++; attempts < 3 {
				return "", errAway
			}
			return "receipt 7", nil
		})
	})
	fmt.Println(receipt, err, "after", attempts, "attempts")
	// Output:
	// receipt 7 <nil> after 3 attempts
}

// A read that is late is asked for a second time; the first answer wins.
func ExampleHedge() {
	hedger, err := breaker.NewHedger(breaker.HedgeConfig{After: time.Millisecond})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hedger.Wait()
	late := make(chan struct{}, 1)
	late <- struct{}{}
	price, err := breaker.Hedge(context.Background(), hedger, func(ctx context.Context) (int, error) {
		select {
		case <-late: // the first
			<-ctx.Done()
			return 0, ctx.Err()
		default:
			return 120, nil
		}
	})
	fmt.Println(price, err)
	// Output:
	// 120 <nil>
}
