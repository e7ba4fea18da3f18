package archive

import "github.com/skerryhq/skerry/journal"

// maxPending bounds the timers of one shard that are remembered as pending.
const maxPending = 1 << 18

// pending follows which timers of a shard are pending. What does not fit is not
// remembered: its row stays in the index when it is disarmed, which only costs a look.
type pending struct {
	timers map[pendingName]journal.Timer
	// cut tells that some did not fit.
	cut bool
	// from is the Unix hour before which nothing is pending at the log's end.
	from int64
}

type pendingName struct {
	of   journal.Entity
	name string
}

func newPending(from int64) *pending {
	return &pending{timers: map[pendingName]journal.Timer{}, from: from}
}

// take returns what an entry changes in the timer index. Entries come in order.
func (p *pending) take(e *entry) (arms, disarms []journal.Timer) {
	disarm := func(name string, armed uint64) {
		at := pendingName{e.of, name}
		if t, ok := p.timers[at]; ok && (armed == 0 || t.Armed == armed) {
			delete(p.timers, at)
			disarms = append(disarms, t)
		}
	}
	if name, armed, ok := e.fired(); ok {
		disarm(name, armed)
	}
	for _, name := range e.cancels {
		disarm(name, 0)
	}
	for _, a := range e.arms {
		disarm(a.name, 0)
		t := journal.Timer{Of: e.of, Name: a.name, Armed: e.number, Due: a.due}
		if t.Hour() < p.from {
			continue
		}
		arms = append(arms, t)
		if len(p.timers) >= maxPending {
			p.cut = true
			continue
		}
		p.timers[pendingName{e.of, a.name}] = t
	}
	return arms, disarms
}
