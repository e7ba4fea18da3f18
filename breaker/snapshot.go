package breaker

import (
	"time"

	"github.com/skerryhq/skerry/breaker/internal/machine"
)

// Counts are totals since the breaker was made. A call is in one of the first seven when it is done, in
// Refused or Full if it was not made.
type Counts struct {
	Succeeded, Rejected, Failed, TimedOut, Slow, Abandoned uint64
	// Late calls ended after the state that admitted them; what they brought was ignored by the breaker.
	Late uint64
	// Refused with ErrOpen, Full with ErrFull.
	Refused, Full uint64
	// Opened, HalfOpened and Closed count the states entered.
	Opened, HalfOpened, Closed uint64
}

// Snapshot is a breaker as operators see it.
type Snapshot struct {
	ID      string
	Enabled bool
	State   State
	Since   time.Time
	// RetryAfter is how long calls are refused yet; 0 in closed.
	RetryAfter time.Duration
	// Failures in a row.
	Failures int
	// WindowFailed of WindowCalls failed lately; both are 0 without a FailureRate.
	WindowFailed, WindowCalls int
	// Busy are the calls under way, if MaxConcurrent is set.
	Busy   int
	Counts Counts
	// Settings in effect, with 0 for what is off.
	Settings Settings
	// Transitions are the last few, oldest first.
	Transitions []Transition
}

// Snapshot returns the breaker's state and counts as of one moment. Calls that end meanwhile may be missing.
func (b *Breaker) Snapshot() Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	m := b.machine
	state, since := m.State()
	s := Snapshot{
		ID: b.id, Enabled: b.settings.Enabled == On, State: State(state), Since: b.base.Add(since),
		Failures: m.Failures(), Busy: m.Busy(), Counts: b.counts(), Settings: *b.settings, Transitions: b.tells.last(),
	}
	s.WindowFailed, s.WindowCalls = m.Rate(now)
	if state != machine.Closed {
		s.RetryAfter = max(m.Next()-now, 0)
	}
	return s
}

func (b *Breaker) counts() Counts {
	c := Counts(b.machine.Counts())
	succeeded, rejected, refused := b.count.totals()
	c.Succeeded += succeeded
	c.Rejected += rejected
	c.Refused += refused
	return c
}
