package entity

import (
	"sync"
	"time"
)

const (
	// slowAfter is when a recovery that still runs gives its place to the next: what is read may be of a part of
	// the journal that is sick, and then each takes the time of a timeout.
	slowAfter = 200 * time.Millisecond
	// maxSlow bounds those that gave their places away. Beyond it they keep them
	// until there is room.
	maxSlow = 256
)

// gate bounds what is under way. That for which somebody waits goes first.
type gate struct {
	// slow, if not nil, is the gate that takes over what runs for longer than slowAfter.
	slow *gate

	mu            sync.Mutex
	free          int // places; less than 0 if it took over more than it has
	first, second []func()
}

// enter runs f, on a goroutine of its own, as soon as there is room.
func (g *gate) enter(wanted bool, f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.free > 0:
		g.free--
		go g.run(f)
	case wanted:
		g.first = append(g.first, f)
	default:
		g.second = append(g.second, f)
	}
}

// run runs f and what comes after it in the same place.
func (g *gate) run(f func()) {
	for f != nil {
		if g.slow == nil {
			f()
		} else {
			g = g.runBriefly(f)
		}
		f = g.next()
	}
}

// runBriefly runs f and returns the gate whose place it has at its end.
func (g *gate) runBriefly(f func()) *gate {
	var mu sync.Mutex
	at, ended := g, false
	var timer *time.Timer
	mu.Lock()
	timer = time.AfterFunc(slowAfter, func() {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case ended:
		case g.slow.takeOver():
			at = g.slow
			go g.run(g.next())
		default:
			timer.Reset(slowAfter)
		}
	})
	mu.Unlock()
	f()
	mu.Lock()
	defer mu.Unlock()
	ended = true
	timer.Stop()
	return at
}

// takeOver counts one more that is under way, if there are not too many.
func (g *gate) takeOver() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.free <= -maxSlow {
		return false
	}
	g.free--
	return true
}

// next gives the place that is left to what waits, or back.
func (g *gate) next() (f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.free < 0:
		g.free++
	case len(g.first) > 0:
		f, g.first = g.first[0], g.first[1:]
	case len(g.second) > 0:
		f, g.second = g.second[0], g.second[1:]
	default:
		g.free++
	}
	return f
}
