package shard

import "testing"

// TestPlantedBugsAreFound plants one defect after another: a simulation that does not
// find them proves nothing.
func TestPlantedBugsAreFound(t *testing.T) {
	const most = 10_000
	for name, planted := range map[string]bug{
		"skip the fence": bugSkipFence, "answer early": bugAnswerEarly, "forget a key": bugForgetKey,
		"confirm by an append under way": bugConfirmUnderWay, "confirm by the repeat of an unknown append": bugConfirmLate,
		"snapshot a speculative state": bugSnapshotSpeculative, "let a command overtake a timer": bugLateTimer, "flush ahead": bugFlushAhead,
	} {
		t.Run(name, func(t *testing.T) {
			bad := simulate(t, 1, most, planted, counts{})
			if bad == nil {
				t.Fatalf("not found in %d schedules", most)
			}
			t.Logf("found by schedule %d: %s", bad.seed, bad.what)
		})
	}
}
