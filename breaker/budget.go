package breaker

import (
	"sync"
	"time"
)

// Limits of a [Budget].
const (
	// budgetBurst are the extra calls at once.
	budgetBurst = 100
	// budgetPerSecond is how fast they come back, and budgetPerSuccess what a call that succeeded adds.
	budgetPerSecond  = 1
	budgetPerSuccess = 0.1
)

// Budget bounds the extra calls of many callers together, repeats and hedges: a tenth of the calls that succeed, and a hundred
// at once. So a sick service gets hardly more than its usual load. One is shared by all that call the same
// service; it may be used concurrently.
type Budget struct {
	mu   sync.Mutex
	left float64
	at   time.Time
}

// NewBudget returns a full one.
func NewBudget() *Budget { return &Budget{left: budgetBurst, at: time.Now()} }

// Take takes an extra call, if there is one.
func (b *Budget) Take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.left = min(b.left+now.Sub(b.at).Seconds()*budgetPerSecond, budgetBurst)
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// Succeeded adds what a success is worth.
func (b *Budget) Succeeded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(b.left+budgetPerSuccess, budgetBurst)
}
