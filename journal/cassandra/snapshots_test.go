package cassandra

import "testing"

// Each save of a large snapshot looks after the older ones, and a share of the saves of small ones does.
func TestOlderSnapshotsAreLookedAfter(t *testing.T) {
	t.Parallel()
	const saves = 8000
	count := func(size int) (n int) {
		for range saves {
			if mayDrop(size) {
				n++
			}
		}
		return n
	}
	if got := count(smallSnapshot + 1); got != saves {
		t.Errorf("%d of %d saves of a large snapshot drop older ones", got, saves)
	}
	if got := count(100); got < saves/dropEvery/2 || got > saves/dropEvery*2 {
		t.Errorf("%d of %d saves of a small snapshot drop older ones, want about one in %d", got, saves, dropEvery)
	}
}
