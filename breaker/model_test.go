package breaker_test

import (
	"context"
	"errors"
	"time"

	"github.com/skerryhq/skerry/breaker"
)

// never is later than any history.
const never = time.Duration(1 << 62)

var errNo = errors.New("no")

// model is the reference: what a breaker should do, written as plainly as can be. It keeps what happened
// and works everything out anew, where the machine keeps sums.
type model struct {
	now time.Duration
	set breaker.Settings // filled in, 0 is off
	off bool
	gen int

	state    breaker.State
	since    time.Duration
	waitFrom time.Duration
	row      int // failures in a row
	reopened int
	recent   []seen
	busy     int
	counts   breaker.Counts
	made     []change
	calls    []*modelCall // under way
}

type seen struct {
	at     time.Duration
	failed bool
}

// change is a transition, without what is only for people.
type change struct {
	from, to breaker.State
	at, wait time.Duration
	reason   string
}

type modelCall struct {
	gen               int
	outside           bool // the breaker was off
	probe, slot       bool
	start             time.Duration
	timeoutAt         time.Duration
	deadline          time.Duration // the caller's
	patience          time.Duration
	heeds             bool // returns when its context ends
	canceled          bool
	decided, timedOut bool
	set               breaker.Settings
}

func (m *model) until() time.Duration {
	if m.state == breaker.HalfOpen {
		if m.set.CallTimeout > 0 {
			return m.since + m.set.CallTimeout
		}
		return m.since + m.set.ResetTimeout
	}
	wait := m.set.ResetTimeout
	for range m.reopened {
		wait = min(2*wait, max(m.set.MaxResetTimeout, m.set.ResetTimeout))
	}
	return m.waitFrom + wait
}

func (m *model) enter(to breaker.State, from time.Duration, reason string) {
	c := change{from: m.state, to: to, at: m.now, reason: reason}
	m.state, m.since = to, m.now
	m.gen++
	switch to {
	case breaker.Open:
		m.counts.Opened++
		m.waitFrom = from
		c.wait = max(m.until()-m.now, 0)
	case breaker.HalfOpen:
		m.counts.HalfOpened++
	case breaker.Closed:
		m.counts.Closed++
		m.row, m.reopened, m.recent = 0, 0, nil
	}
	m.made = append(m.made, c)
}

// admit says how a call begins: with nil, or after so long a wait with an error of this kind.
func (m *model) admit(c *modelCall) (wait time.Duration, kind error) {
	c.start, c.set, c.timeoutAt = m.now, m.set, never
	if c.deadline == 0 {
		c.deadline = never
	}
	c.patience = c.deadline - m.now
	if m.off {
		c.outside = true
		m.calls = append(m.calls, c)
		return 0, nil
	}
	switch {
	case m.state == breaker.HalfOpen:
		m.counts.Refused++
		return min(max(m.until()-m.now, time.Millisecond), time.Second), breaker.ErrOpen
	case m.state == breaker.Open && m.now < m.until():
		m.counts.Refused++
		return max(m.until()-m.now, time.Millisecond), breaker.ErrOpen
	case m.set.MaxConcurrent > 0 && m.busy >= m.set.MaxConcurrent:
		m.counts.Full++
		return 0, breaker.ErrFull
	}
	if m.state == breaker.Open {
		m.enter(breaker.HalfOpen, 0, "the reset-timeout is over")
		c.probe = true
	}
	c.gen = m.gen
	if c.slot = m.set.MaxConcurrent > 0; c.slot {
		m.busy++
	}
	if m.set.CallTimeout > 0 {
		c.timeoutAt = m.now + m.set.CallTimeout
	}
	m.calls = append(m.calls, c)
	return 0, nil
}

// decide counts an outcome.
func (m *model) decide(c *modelCall, o breaker.Outcome) {
	if c.decided || c.outside {
		return
	}
	c.decided = true
	if c.gen != m.gen {
		if !c.probe {
			m.counts.Late++
		}
		return
	}
	failed := o == breaker.Failed || o == breaker.TimedOut || o == breaker.Slow
	m.count(o)
	switch {
	case m.state == breaker.HalfOpen && o == breaker.Abandoned:
		m.enter(breaker.Open, m.since, "the probe's caller gave up")
	case m.state == breaker.HalfOpen && failed:
		m.reopened++
		m.enter(breaker.Open, m.now, "the probe failed")
	case m.state == breaker.HalfOpen:
		m.enter(breaker.Closed, 0, "the probe was answered")
	case o != breaker.Abandoned:
		m.measure(failed)
	}
}

func (m *model) measure(failed bool) {
	if m.set.FailureRate > 0 {
		m.recent = append(m.recent, seen{m.now, failed})
	}
	if !failed {
		m.row = 0
		return
	}
	m.row++
	bad, all := m.window()
	switch {
	case m.set.MaxFailures > 0 && m.row >= m.set.MaxFailures:
		m.enter(breaker.Open, m.now, "max-failures in a row")
	case m.set.FailureRate > 0 && all >= m.set.MinCalls && float64(bad) >= m.set.FailureRate*float64(all):
		m.enter(breaker.Open, m.now, "the failure rate is reached")
	}
}

// window counts what is in the last ten slices.
func (m *model) window() (failed, all int) {
	if m.set.FailureRate == 0 {
		return 0, 0
	}
	slice := m.set.Window / 10
	for _, s := range m.recent {
		if s.at/slice <= m.now/slice-10 {
			continue
		}
		all++
		if s.failed {
			failed++
		}
	}
	return failed, all
}

func (m *model) count(o breaker.Outcome) {
	switch o {
	case breaker.Succeeded:
		m.counts.Succeeded++
	case breaker.Rejected:
		m.counts.Rejected++
	case breaker.Failed:
		m.counts.Failed++
	case breaker.TimedOut:
		m.counts.TimedOut++
	case breaker.Slow:
		m.counts.Slow++
	case breaker.Abandoned:
		m.counts.Abandoned++
	}
}

// returned is the end of a call's function with err; it says what the caller gets.
func (m *model) returned(c *modelCall, err error) error {
	gone := c.canceled || m.now >= c.deadline
	switch {
	case err == nil && c.set.SlowAfter > 0 && m.now-c.start > c.set.SlowAfter:
		m.decide(c, breaker.Slow)
	case err == nil:
		m.decide(c, breaker.Succeeded)
	case errors.Is(err, errNo):
		m.decide(c, breaker.Rejected)
	case gone:
		m.decide(c, m.gone(c))
	case errors.Is(err, context.Canceled):
		m.decide(c, breaker.Abandoned)
	default:
		m.decide(c, breaker.Failed)
	}
	for i, known := range m.calls {
		if known == c {
			m.calls = append(m.calls[:i:i], m.calls[i+1:]...)
			break
		}
	}
	if c.slot {
		m.busy--
	}
	if c.timedOut && err != nil && !errors.Is(err, errNo) && !gone {
		return breaker.ErrTimeout
	}
	return err
}

// gone is the outcome of a call whose caller's context ended.
func (m *model) gone(c *modelCall) breaker.Outcome {
	if !c.canceled && c.patience >= c.set.MinDeadline {
		return breaker.TimedOut
	}
	return breaker.Abandoned
}

// change gives other settings.
func (m *model) change(to breaker.Settings, off bool) {
	if m.set.Window != to.Window {
		failed, all := m.window()
		m.recent = nil
		for i := range all {
			m.recent = append(m.recent, seen{m.now, i < failed})
		}
	}
	m.set, m.off = to, off
	m.overdue()
}

// overdue reopens if the probe's time is up.
func (m *model) overdue() {
	if m.state != breaker.HalfOpen || m.now < m.until() {
		return
	}
	m.counts.TimedOut++
	m.reopened++
	later := m.now
	m.now = m.until()
	m.enter(breaker.Open, m.now, "the probe hung")
	m.now = later
}

// advance lets time pass, and what it brings about happen in order. It returns the calls that returned.
func (m *model) advance(to time.Duration) (returned map[*modelCall]error) {
	returned = map[*modelCall]error{}
	for {
		next, at := m.soonest()
		if at > to {
			break
		}
		m.now = at
		switch {
		case next == nil:
			m.overdue()
		case at == next.deadline:
			returned[next] = m.returned(next, context.DeadlineExceeded)
		default:
			m.timeout(next, returned)
		}
	}
	m.now = to
	return returned
}

// timeout is the call-timeout of a call.
func (m *model) timeout(c *modelCall, returned map[*modelCall]error) {
	c.timeoutAt = never
	if c.canceled || m.now >= c.deadline {
		m.decide(c, m.gone(c))
		return
	}
	c.timedOut = true
	m.decide(c, breaker.TimedOut)
	if c.heeds {
		returned[c] = m.returned(c, context.DeadlineExceeded)
	}
}

// soonest finds what time brings next: a call's end, or the probe's (nil).
func (m *model) soonest() (next *modelCall, at time.Duration) {
	at = never
	if m.state == breaker.HalfOpen {
		at = m.until()
	}
	for _, c := range m.calls {
		if c.heeds && c.deadline < at {
			next, at = c, c.deadline
		}
		if !c.decided && c.timeoutAt < at {
			next, at = c, c.timeoutAt
		}
	}
	return next, at
}
