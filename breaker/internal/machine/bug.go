package machine

// Bug is a set of defects, planted by tests: a model that does not find them proves nothing.
type Bug uint32

// The defects.
const (
	// BugTwoProbes lets calls through in half-open beside the probe.
	BugTwoProbes Bug = 1 << iota
	// BugHungProbe waits for a probe for ever.
	BugHungProbe
	// BugLateCounts counts what earlier generations bring.
	BugLateCounts
	// BugAbandonedCounts takes a caller that gave up for a failure.
	BugAbandonedCounts
	// BugKeepFailures does not reset the failures in a row on a success.
	BugKeepFailures
	// BugRejectedKeeps does not reset them on a rejection.
	BugRejectedKeeps
	// BugOneMore opens one failure late.
	BugOneMore
	// BugNoMinimum lets the rate of a few calls open the breaker.
	BugNoMinimum
	// BugWindowKeeps does not forget calls that have left the window.
	BugWindowKeeps
	// BugNoRest lets the next probe go at once.
	BugNoRest
	// BugRestAnew lets a caller that gave up cost another full wait.
	BugRestAnew
	// BugNoBackoff never lengthens the wait.
	BugNoBackoff
	// BugBackoffKeeps does not go back to the first wait after a success.
	BugBackoffKeeps
	// BugCloseKeepsCount begins closed with the failures of before.
	BugCloseKeepsCount
	// BugChangeForgets drops the failures when settings change.
	BugChangeForgets
	// BugChangeWaits does not apply another reset-timeout to a wait under way.
	BugChangeWaits
	// BugNoBulkhead admits without limit.
	BugNoBulkhead
	// BugKeepSlot does not give slots back.
	BugKeepSlot
	// BugSlowForgiven takes a slow success for a success.
	BugSlowForgiven
	// BugHangForgiven does not count a call whose time is over.
	BugHangForgiven
	// BugIndifferent believes too early that successes change nothing.
	BugIndifferent
)

// Plant puts defects in. Only tests do.
func (m *Machine) Plant(b Bug) { m.bug = b }

func (m *Machine) has(b Bug) bool { return m.bug&b != 0 }

// mistake is the outcome that a defect makes of another.
func (m *Machine) mistake(o Outcome) Outcome {
	switch {
	case m.has(BugAbandonedCounts) && o == Abandoned:
		return Failed
	case m.has(BugSlowForgiven) && o == Slow:
		return Succeeded
	case m.has(BugHangForgiven) && o == TimedOut:
		return Abandoned
	}
	return o
}
