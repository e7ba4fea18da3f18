package machine

import "time"

// State of a breaker.
type State uint8

// The states.
const (
	Closed State = iota
	HalfOpen
	Open
)

// String implements fmt.Stringer.
func (s State) String() string { return [...]string{"closed", "half-open", "open"}[s] }

// Outcome of a call.
type Outcome uint8

// The outcomes. Succeeded and Rejected show a service that answers; Failed, TimedOut and Slow count
// against it; Abandoned tells nothing.
const (
	Succeeded Outcome = iota
	Rejected
	Failed
	TimedOut
	Slow
	Abandoned
)

// counts tells whether an outcome counts as a failure.
func (o Outcome) counts() bool { return o == Failed || o == TimedOut || o == Slow }

// Refusal is why a call was not admitted.
type Refusal uint8

// The refusals.
const (
	Admitted Refusal = iota
	// RefusedOpen: the breaker is open, or half-open with its probe under way.
	RefusedOpen
	// RefusedFull: MaxConcurrent calls are under way.
	RefusedFull
)

// Ticket is what an admitted call shows when it is done.
type Ticket struct {
	Generation uint64
	// Slot tells that the call takes one of MaxConcurrent; it is given back with Leave.
	Slot bool
	// Probe tells that the call is the one that half-open lets through.
	Probe bool
}

// Reason of a transition.
type Reason uint8

// The reasons.
const (
	ConsecutiveFailures Reason = iota
	FailureRateReached
	ResetTimeoutOver
	ProbeAnswered
	ProbeFailed
	ProbeHung
	ProbeAbandoned
)

// String implements fmt.Stringer.
func (r Reason) String() string {
	return [...]string{
		"max-failures in a row", "the failure rate is reached", "the reset-timeout is over", "the probe was answered",
		"the probe failed", "the probe hung", "the probe's caller gave up",
	}[r]
}

// Transition is one change of state.
type Transition struct {
	From, To State
	At       time.Duration
	Reason   Reason
	// Failures in a row when it happened.
	Failures int
	// Wait is the reset-timeout that begins; 0 unless To is Open.
	Wait time.Duration
}

// Counts are totals over the machine's life.
type Counts struct {
	Succeeded, Rejected, Failed, TimedOut, Slow, Abandoned uint64
	// Late calls were done after the state that admitted them had ended.
	Late uint64
	// Refused and Full calls were not admitted.
	Refused, Full uint64
	// Opened, HalfOpened and Closed count the states entered.
	Opened, HalfOpened, Closed uint64
}

func (c *Counts) of(o Outcome) *uint64 {
	return [...]*uint64{&c.Succeeded, &c.Rejected, &c.Failed, &c.TimedOut, &c.Slow, &c.Abandoned}[o]
}
