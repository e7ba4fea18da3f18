package transport

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// quietly logs what strangers cause: a few lines, however many there are.
type quietly struct {
	mu      sync.Mutex
	since   time.Time
	lines   int
	omitted int
}

const (
	// quietLines is how many lines are logged in each quietTime.
	quietLines = 10
	quietTime  = 10 * time.Second
)

// say logs a warning, or counts it.
func (q *quietly) say(log *slog.Logger, message string, args ...any) {
	omitted, ok := q.take(time.Now())
	if !ok {
		return
	}
	if omitted > 0 {
		args = append(args, "omitted", omitted)
	}
	log.Log(context.Background(), slog.LevelWarn, message, args...)
}

// take tells whether a line may be logged now, and how many were not before it.
func (q *quietly) take(now time.Time) (omitted int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now.Sub(q.since) >= quietTime {
		q.since, q.lines = now, 0
	}
	if q.lines >= quietLines {
		q.omitted++
		return 0, false
	}
	q.lines++
	omitted, q.omitted = q.omitted, 0
	return omitted, true
}
