package entity

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestAJournalThatIsAwayIsToldOnceForAllShards(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	now := time.Unix(1_000_000, 0)
	h := &Host{
		log: slog.New(slog.NewTextHandler(&log, nil)), now: func() time.Time { return now },
		troubles: troubles{shards: map[uint32]bool{}, takers: map[string]bool{}},
	}
	lines := func(want int, text string) {
		t.Helper()
		if got := strings.Count(log.String(), text); got != want {
			t.Errorf("%q was told %d times, not %d:\n%s", text, got, want, log.String())
		}
	}
	for number := range uint32(64) {
		h.troubles.notice(h, number, "no node answers", true)
	}
	lines(1, "the journal does not answer")
	now = now.Add(troublePause)
	h.troubles.notice(h, 1, "no node answers", true)
	lines(2, "the journal does not answer")
	for number := range uint32(63) {
		h.troubles.notice(h, number, "", true)
	}
	lines(0, "answers again")
	h.troubles.notice(h, 63, "", false) // it was stopped
	lines(0, "answers again")
	h.troubles.notice(h, 5, "no node answers", true)
	h.troubles.notice(h, 5, "", true)
	lines(1, "answers again")
	for number := range uint32(64) {
		h.troubles.taken(h, number, "n2")
	}
	lines(1, "another process takes")
}
