package machine

import "time"

// Rules are the settings that decide, complete and valid: the host fills in defaults. A zero field
// switches its rule off, but for ProbeTimeout and ResetTimeout, which are positive.
type Rules struct {
	// MaxFailures in a row open the breaker.
	MaxFailures int
	// ProbeTimeout is how long a probe may take before the breaker opens again without it.
	ProbeTimeout time.Duration
	// ResetTimeout is the wait in open. It doubles with each probe in a row that fails, up to
	// MaxResetTimeout, which is no less.
	ResetTimeout    time.Duration
	MaxResetTimeout time.Duration
	// Jitter is the part, 0 to 1, by which a wait may be longer at random.
	Jitter float64
	// FailureRate, above 0 and up to 1, opens the breaker when it is reached by the calls of the last Window,
	// if they are MinCalls or more.
	FailureRate float64
	Window      time.Duration
	MinCalls    int
	// MaxConcurrent calls may be under way at once.
	MaxConcurrent int
}

// wait is how long the breaker stays open after so many failed probes in a row; draw is
// at random, at least 0 and below 1.
func (r Rules) wait(reopened int, draw float64) time.Duration {
	d := r.ResetTimeout
	for range reopened {
		if d >= r.MaxResetTimeout/2 {
			d = r.MaxResetTimeout
			break
		}
		d *= 2
	}
	return d + time.Duration(r.Jitter*draw*float64(d))
}
