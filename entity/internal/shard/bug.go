package shard

// bug is a defect that a test plants, to show that the simulation finds it.
// It is none in every program.
type bug uint8

const (
	bugNone bug = iota
	// bugSkipFence goes on after another's claim.
	bugSkipFence
	// bugAnswerEarly answers before anything is committed.
	bugAnswerEarly
	// bugForgetKey does not remember keys.
	bugForgetKey
	// bugConfirmUnderWay lets an append already under way confirm what came later.
	bugConfirmUnderWay
	// bugConfirmLate lets the repeat of an unknown append confirm what came after its first sending.
	bugConfirmLate
	// bugSnapshotSpeculative saves a snapshot before its entry is committed.
	bugSnapshotSpeculative
	// bugLateTimer lets a command overtake a timer that is due.
	bugLateTimer
	// bugFlushAhead counts entries as flushed that are not written yet.
	bugFlushAhead
	// bugRefuseUnsure takes a refusal for sure although an earlier sending may still be stored.
	bugRefuseUnsure
	// bugDropPin forgets, at a take-over, entries that the pages do not hold yet.
	bugDropPin
	// bugMarkAhead closes a client's numbers that are still open.
	bugMarkAhead
	// bugTimersEarly tells that no timer is pending before an hour, before that is committed.
	bugTimersEarly
	// bugLookupStale answers a lookup without asking whether the shard is still ours.
	bugLookupStale
	// bugIgnoreAfter answers a local query without looking at what it must have seen.
	bugIgnoreAfter
	// bugTellEarly tells readers of a record before it is committed.
	bugTellEarly
	// bugHideLate does not tell of the entities behind the flush position.
	bugHideLate
	// bugDropLate forgets, at a take-over, the entities behind the flush position.
	bugDropLate
)
