package transport

import (
	"maps"
	"time"
)

// faults are what is wrong with a network in memory. One is never changed: a new one takes its place, and changed of the
// old one is closed.
type faults struct {
	cut     map[way]bool
	delay   func(from, to string) time.Duration
	lose    func(from, to string) bool
	changed chan struct{}
}

// way leads from one address to another.
type way struct{ from, to string }

func (f *faults) delayOf(from, to string) time.Duration {
	if f.delay == nil || from == to {
		return 0
	}
	return f.delay(from, to)
}

// thin takes lost envelopes and answers out of a batch.
func (f *faults) thin(from, to string, b *batch) {
	if f.lose == nil || from == to {
		return
	}
	calls, answers := b.calls[:0], b.answers[:0]
	for _, k := range b.calls {
		if !f.lose(from, to) {
			calls = append(calls, k)
		}
	}
	for _, a := range b.answers {
		if !f.lose(from, to) {
			answers = append(answers, a)
		}
	}
	b.calls, b.answers = calls, answers
}

// change puts other faults in place.
func (m *Memory) change(how func(*faults)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.faults.Load()
	next := *old
	next.cut = maps.Clone(old.cut)
	if next.cut == nil {
		next.cut = map[way]bool{}
	}
	next.changed = make(chan struct{})
	how(&next)
	m.faults.Store(&next)
	close(old.changed)
}

// Cut stops in silence what goes from one address to another. Nothing is lost if it is healed in time; a
// connection one of whose sides hears nothing for its DeadAfter ends there, and a new one cannot be made.
func (m *Memory) Cut(from, to string) {
	m.change(func(f *faults) { f.cut[way{from, to}] = true })
}

// Heal undoes Cut.
func (m *Memory) Heal(from, to string) {
	m.change(func(f *faults) { delete(f.cut, way{from, to}) })
}

// Partition cuts each side off from all others, both ways. An address may be on two sides, which it then joins as a bridge.
func (m *Memory) Partition(sides ...[]string) {
	together := ways(nil, sides, func(a, b int) bool { return a == b })
	apart := ways(together, sides, func(a, b int) bool { return a != b })
	m.change(func(f *faults) { maps.Copy(f.cut, apart) })
}

// ways are those from one side to another whose places which allows, without some.
func ways(without map[way]bool, sides [][]string, which func(i, j int) bool) map[way]bool {
	all := map[way]bool{}
	for i := range sides {
		for j := range sides {
			if which(i, j) {
				cross(all, without, sides[i], sides[j])
			}
		}
	}
	return all
}

func cross(all, without map[way]bool, from, to []string) {
	for _, a := range from {
		for _, b := range to {
			if w := (way{a, b}); !without[w] {
				all[w] = true
			}
		}
	}
}

// HealAll undoes every Cut and Partition.
func (m *Memory) HealAll() { m.change(func(f *faults) { clear(f.cut) }) }

// Delay makes what is sent from now on take as long as delay says, each way, in order all the same. It is called
// concurrently and must not block; nil means no delay.
func (m *Memory) Delay(delay func(from, to string) time.Duration) {
	m.change(func(f *faults) { f.delay = delay })
}

// Lose makes envelopes and answers vanish for which lose returns true, as if a node took them and did nothing. It is called
// concurrently and must not block; nil means that none is lost.
func (m *Memory) Lose(lose func(from, to string) bool) {
	m.change(func(f *faults) { f.lose = lose })
}

// Kill ends the process at an address, as kill −9 does: its connections end at once, none is made to it or by it any more,
// and what it had not sent is lost. Its Endpoint is to be closed all the same, later.
func (m *Memory) Kill(address string) {
	m.mu.Lock()
	delete(m.nodes, address)
	m.mu.Unlock()
	m.end(func(e *memoryEnd) bool { return e.in.from == address || e.in.to == address })
}

// Break ends the connections between two addresses at once, and both sides notice.
func (m *Memory) Break(a, b string) {
	m.end(func(e *memoryEnd) bool {
		w := way{e.in.from, e.in.to}
		return w == way{a, b} || w == way{b, a}
	})
}

// end closes the ends of connections that which picks.
func (m *Memory) end(which func(*memoryEnd) bool) {
	m.mu.Lock()
	var ends []*memoryEnd
	for e := range m.ends {
		if which(e) {
			ends = append(ends, e)
		}
	}
	m.mu.Unlock()
	for _, e := range ends {
		e.close()
	}
}
