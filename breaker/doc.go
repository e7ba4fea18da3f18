// Package breaker makes outgoing calls fail fast: while a service fails, its callers are told so at
// once instead of waiting for it, and it is left alone to recover.
//
//	payments, err := breaker.New(breaker.Config{ID: "payments"})
//	receipt, err := breaker.Do(ctx, payments, func(ctx context.Context) (string, error) {
//		return charge(ctx, ev.ID, ev.Msg.GetWinner(), ev.Msg.GetPrice())
//	})
//
// A [Breaker] is closed, open or half-open, with the names and defaults of Lagom:
//
//   - closed: calls go through. MaxFailures (10) in a row open it; any answer in between
//     starts the row anew. A call that takes longer than CallTimeout (10 s) is a failure.
//   - open: calls are refused with an [*Error] that says when to try again, for ResetTimeout (15 s).
//   - half-open: exactly one call, the first that comes then, goes through as a probe; others are refused. Is it answered, the
//     breaker closes; does it fail or hang, the breaker is open for another reset-timeout.
//
// # What counts
//
// Every error counts, but for those that Settings.Ignore matches: a business rejection is an answer.
// A caller that gives up never counts. A caller's deadline that passes does, if it was a fair one
// (Settings.MinDeadline): where all callers are more impatient than the call-timeout, a service that hangs would
// otherwise never be found out. A probe whose caller gives up decides nothing; the
// next one goes when a reset-timeout has passed since it began.
//
// A call is counted once and at the latest at its call-timeout, whether it has returned or not. What
// a call brings after the state has changed is ignored: it tells how the service was before.
//
// # What is promised
//
// While a service is down it gets at most one call per reset-timeout from each breaker, and when it is back, calls go through
// within one; a probe that hangs just then costs its call-timeout on top. A caller is refused
// without a lock, a clock or an allocation. [Breaker.Change] keeps state and counts. There is no goroutine
// per call, no global registry, and nothing to close. State, counts and the last transitions are visible in a
// [Snapshot], from a breaker's first use; each transition is logged once, in order.
//
// [Do] runs the call on its caller's goroutine and ends the call's context at the call-timeout. It cannot take
// a function from a goroutine that ignores its context, and so returns when the function does; for the breaker
// it was over before.
//
// # Around it
//
// A [Group] owns the breakers of a service, with settings per id. [Retry] repeats calls within a [Budget], [Hedge]
// asks a second time when the first answer is late. The folders below wrap clients: httpbreaker
// (net/http), connectbreaker (Connect), grpcbreaker (gRPC), and service, which calls other services by name;
// breakeradmin shows a group to operators. None of them is a burden to who does not import it.
//
// # Why a state machine of our own
//
// The first candidate was that of failsafe-go (v0.9.8), which is well kept. It cannot hold these promises, as the test
// TestWhyNotFailsafe shows: a result that comes late is counted in whatever state it finds, so a call of before
// the outage can close a half-open breaker, or give it a second probe; a probe that does not return keeps half-open for ever;
// settings cannot be changed without losing state and counts; an answer that should decide nothing (a caller that gave
// up) can only be taken for a success, or its place in half-open is lost; and its result type is part of the breaker. gobreaker (v2.4.0) knows generations, but has no
// call-timeout, a probe that hangs blocks it for ever, and its settings are final.
//
// So internal/machine is pure (an input with its time goes in, a decision comes out), and this package
// gives it a clock and a lock. The tests hold both against a model, over random histories on fake time.
package breaker
