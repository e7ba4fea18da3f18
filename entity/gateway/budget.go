package gateway

import (
	"sync"
	"time"
)

// Limits of the repeats of one client, all its calls together, so that a sick service gets
// hardly more than its usual load.
const (
	// repeatBurst are the repeats at once, such as when a connection with many calls is lost.
	repeatBurst = 1000
	// repeatsPerSecond is how fast they come back, and repeatsPerSuccess what an answer adds.
	repeatsPerSecond  = 100
	repeatsPerSuccess = 0.1
)

// budget counts the repeats that are left. One that is taken ahead waits for its turn.
type budget struct {
	mu   sync.Mutex
	left float64
	at   time.Time
}

func newBudget(now time.Time) *budget { return &budget{left: repeatBurst, at: now} }

// take returns how long to wait for a repeat, or false if that is not within the time given.
func (b *budget) take(now time.Time, within time.Duration) (wait time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if gone := now.Sub(b.at); gone > 0 {
		b.left = min(b.left+gone.Seconds()*repeatsPerSecond, repeatBurst)
		b.at = now
	}
	if b.left < 1 {
		wait = time.Duration((1 - b.left) / repeatsPerSecond * float64(time.Second))
	}
	if wait >= within {
		return 0, false
	}
	b.left--
	return wait, true
}

func (b *budget) succeeded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(b.left+repeatsPerSuccess, repeatBurst)
}
