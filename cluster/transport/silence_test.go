package transport

import (
	"testing"
	"time"
)

// mutes counts how often it was told of silence.
type mutes struct {
	taker
	told int
}

func (m *mutes) silent() { m.told++ }

// A process that was paused itself has not heard anybody, which says nothing of them: what came meanwhile is to be read first.
func TestOwnPauseIsNobodysSilence(t *testing.T) {
	t.Parallel()
	cfg := Config{SilentAfter: time.Second, DeadAfter: 3 * time.Second}
	began := time.Unix(0, 0)
	for name, test := range map[string]struct {
		paused     time.Duration // beyond the first look
		told       int
		dead, next time.Duration
	}{
		"not paused": {0, 1, 3 * time.Second, 2 * time.Second},
		"a moment":   {400 * time.Millisecond, 1, 3 * time.Second, 2400 * time.Millisecond},
		"a minute":   {time.Minute, 0, 63 * time.Second, 62 * time.Second},
	} {
		m := &mutes{}
		s := cfg.listen(began)
		if s.dead(s.next.Add(test.paused), m) {
			t.Errorf("%s: dead at once", name)
		}
		if m.told != test.told || s.next.Sub(began) != test.next {
			t.Errorf("%s: told %d times, next look after %v; want %d and %v", name, m.told, s.next.Sub(began), test.told, test.next)
		}
		for range 10 {
			if s.dead(s.next, m) {
				break
			}
		}
		if got := s.next.Sub(began); got != test.dead {
			t.Errorf("%s: dead after %v, want %v", name, got, test.dead)
		}
	}
}
