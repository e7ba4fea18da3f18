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
)
