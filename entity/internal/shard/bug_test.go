package shard

import "testing"

// TestPlantedBugsAreFound plants one defect after another: a simulation that does not
// find them proves nothing. Not parallel: each search uses all workers.
func TestPlantedBugsAreFound(t *testing.T) {
	const most = 10_000
	for _, p := range []struct {
		name string
		bug  bug
	}{
		{"skip the fence", bugSkipFence},
		{"answer early", bugAnswerEarly},
		{"forget a key", bugForgetKey},
		{"confirm by an append under way", bugConfirmUnderWay},
		{"confirm by the repeat of an unknown append", bugConfirmLate},
		{"snapshot a speculative state", bugSnapshotSpeculative},
		{"let a command overtake a timer", bugLateTimer},
		{"flush ahead", bugFlushAhead},
		{"take a refusal for sure after an unknown outcome", bugRefuseUnsure},
		{"drop the pins of a take-over", bugDropPin},
		{"close numbers that are open", bugMarkAhead},
		{"raise the timers' hour early", bugTimersEarly},
		{"answer a lookup unconfirmed", bugLookupStale},
		{"ignore what a local query must have seen", bugIgnoreAfter},
		{"tell readers of a record too early", bugTellEarly},
		{"hide the entities behind the flush position", bugHideLate},
		{"forget, at a take-over, the entities behind the flush position", bugDropLate},
	} {
		t.Run(p.name, func(t *testing.T) {
			bad := simulate(t, 1, most, p.bug, counts{})
			if bad == nil {
				t.Fatalf("not found in %d schedules", most)
			}
			t.Logf("found by schedule %d: %s", bad.seed, bad.what)
		})
	}
}
