package machine

import "time"

// Machine is the state of one breaker.
type Machine struct {
	rules      Rules
	state      State
	generation uint64
	failures   int // in a row
	window     window
	slots      int // calls under way that hold one
	since      time.Duration
	// waitFrom is when the wait in open began: with a probe whose caller gave up, before since.
	waitFrom time.Duration
	reopened int // failed probes in a row
	draw     float64
	random   random
	counts   Counts
	told     []Transition
	bug      Bug
}

// New returns a closed machine. The seed is for the jitter.
func New(rules Rules, seed uint64) *Machine {
	m := &Machine{rules: rules, generation: 1, random: random(seed)}
	m.window.resize(rules.Window, 0)
	return m
}

// Admit decides about a call. A refused one gets the time at which it is worth trying again.
func (m *Machine) Admit(now time.Duration) (t Ticket, why Refusal, again time.Duration) {
	m.Tick(now)
	if m.Refusing(now) {
		m.counts.Refused++
		return t, RefusedOpen, m.Next()
	}
	if m.rules.MaxConcurrent > 0 {
		if m.slots >= m.rules.MaxConcurrent && !m.has(BugNoBulkhead) {
			m.counts.Full++
			return t, RefusedFull, now
		}
		m.slots++
		t.Slot = true
	}
	if m.state == Open {
		m.enter(HalfOpen, now, ResetTimeoutOver)
	}
	t.Probe = m.state == HalfOpen
	t.Generation = m.generation
	return t, Admitted, now
}

// Refusing tells that all calls are refused, and will be until Next or an outcome.
func (m *Machine) Refusing(now time.Duration) bool {
	return m.state == HalfOpen && !m.has(BugTwoProbes) || m.state == Open && now < m.Next()
}

// Done takes the outcome of a call, once for each that was admitted. A call that has not returned but has
// timed out is done too. Each is counted once: under its outcome, or as late.
func (m *Machine) Done(t Ticket, o Outcome, now time.Duration) {
	m.Tick(now)
	if t.Generation != m.generation && !m.has(BugLateCounts) {
		if !t.Probe { // a probe's generation ends without it only in Tick, which has counted it
			m.counts.Late++
		}
		return
	}
	*m.counts.of(o)++
	switch o = m.mistake(o); m.state {
	case Closed:
		m.measure(o, now)
	case HalfOpen:
		m.conclude(o, now)
	}
}

// Leave gives back the slot of a call that has returned.
func (m *Machine) Leave(t Ticket) {
	if t.Slot && !m.has(BugKeepSlot) {
		m.slots--
	}
}

// measure counts an outcome in closed.
func (m *Machine) measure(o Outcome, now time.Duration) {
	if o == Abandoned {
		return
	}
	if m.rules.Window > 0 {
		m.window.add(o.counts(), m.windowTime(now))
	}
	if !o.counts() {
		if !m.has(BugKeepFailures) && (o != Rejected || !m.has(BugRejectedKeeps)) {
			m.failures = 0
		}
		return
	}
	m.failures++
	most := m.rules.MaxFailures
	if m.has(BugOneMore) {
		most++
	}
	switch {
	case m.rules.MaxFailures > 0 && m.failures >= most:
		m.enter(Open, now, ConsecutiveFailures)
	case m.rules.FailureRate > 0 && m.rateReached(now):
		m.enter(Open, now, FailureRateReached)
	}
}

func (m *Machine) windowTime(now time.Duration) time.Duration {
	if m.has(BugWindowKeeps) {
		return 0
	}
	return now
}

func (m *Machine) rateReached(now time.Duration) bool {
	failed, all := m.window.totals(m.windowTime(now))
	if m.has(BugNoMinimum) {
		return all > 0 && float64(failed) >= m.rules.FailureRate*float64(all)
	}
	return all >= m.rules.MinCalls && float64(failed) >= m.rules.FailureRate*float64(all)
}

// conclude takes the outcome of the probe.
func (m *Machine) conclude(o Outcome, now time.Duration) {
	switch {
	case o == Abandoned:
		m.reopen(m.since, now, ProbeAbandoned)
	case o.counts():
		m.reopened++
		m.reopen(now, now, ProbeFailed)
	default:
		m.enter(Closed, now, ProbeAnswered)
	}
}

// reopen waits from an instant that may be past.
func (m *Machine) reopen(from, now time.Duration, why Reason) {
	m.enter(Open, now, why)
	if m.waitFrom = from; m.has(BugRestAnew) {
		m.waitFrom = now
	}
	if m.has(BugNoRest) {
		m.waitFrom = now - m.wait()
	}
	m.told[len(m.told)-1].Wait = max(m.Next()-now, 0)
}

// Tick lets a probe that is overdue count as failed, at the instant at which it should have been
// done. The host calls it at Next, or later.
func (m *Machine) Tick(now time.Duration) {
	if m.state != HalfOpen || now < m.Next() || m.has(BugHungProbe) {
		return
	}
	due := m.Next()
	m.counts.TimedOut++
	m.reopened++
	m.reopen(due, due, ProbeHung)
}

// Next returns when time alone makes a difference: in open, when a probe may go; in half-open,
// when the probe is overdue. In closed it is of no meaning.
func (m *Machine) Next() time.Duration {
	if m.state == HalfOpen {
		return m.since + m.rules.ProbeTimeout
	}
	return m.waitFrom + m.wait()
}

func (m *Machine) wait() time.Duration {
	if m.has(BugNoBackoff) {
		return m.rules.ResetTimeout
	}
	return m.rules.wait(m.reopened, m.draw)
}

// enter changes the state and begins a generation.
func (m *Machine) enter(to State, now time.Duration, why Reason) {
	from := m.state
	m.state, m.since = to, now
	m.generation++
	t := Transition{From: from, To: to, At: now, Reason: why, Failures: m.failures}
	switch to {
	case Open:
		m.counts.Opened++
		m.draw, m.waitFrom = m.random.draw(), now
		t.Wait = m.wait()
	case HalfOpen:
		m.counts.HalfOpened++
	case Closed:
		m.counts.Closed++
		if !m.has(BugBackoffKeeps) {
			m.reopened = 0
		}
		if !m.has(BugCloseKeepsCount) {
			m.failures = 0
		}
		m.window.clear()
	}
	m.told = append(m.told, t)
}

// SetRules changes the rules and keeps state and counts. A wait or a probe under way is measured
// anew, from when it began.
func (m *Machine) SetRules(rules Rules, now time.Duration) {
	m.Tick(now)
	if rules.Window != m.rules.Window {
		m.window.resize(rules.Window, now)
	}
	if m.has(BugChangeWaits) && m.state == Open {
		m.waitFrom += m.wait() - rules.wait(m.reopened, m.draw)
	}
	m.rules = rules
	if m.has(BugChangeForgets) {
		m.failures = 0
	}
	m.Tick(now)
}

// Transitions returns those since it was last called.
func (m *Machine) Transitions() []Transition {
	told := m.told
	m.told = nil
	return told
}

// Indifferent tells that no success would change anything but its count.
func (m *Machine) Indifferent() bool {
	return m.state == Closed && (m.failures == 0 || m.has(BugIndifferent)) && m.rules.Window == 0 && m.rules.MaxConcurrent == 0
}

// Counts returns the totals.
func (m *Machine) Counts() Counts { return m.counts }

// State returns the state and when it began.
func (m *Machine) State() (s State, since time.Duration) { return m.state, m.since }

// Generation returns the number of the state that was entered last.
func (m *Machine) Generation() uint64 { return m.generation }

// Failures returns the failures in a row.
func (m *Machine) Failures() int { return m.failures }

// Busy returns the calls under way that hold a slot.
func (m *Machine) Busy() int { return m.slots }

// Rate returns how many of the calls in the window failed.
func (m *Machine) Rate(now time.Duration) (failed, all int) {
	return m.window.totals(m.windowTime(now))
}
