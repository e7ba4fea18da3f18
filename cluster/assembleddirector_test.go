package cluster_test

import (
	"context"
	"sync"
	"time"
)

// play does what the plan says, and returns when all is mended and every node was told to run.
func (a *assembly) play() {
	began := time.Now()
	var starting sync.WaitGroup
	for _, s := range a.slots[:a.plan.First] {
		starting.Go(func() { a.alone(s, func() { s.start(a) }) })
	}
	for _, f := range a.plan.Faults {
		time.Sleep(f.At - time.Since(began))
		a.faults.Go(func() { a.suffer(f) })
	}
	time.Sleep(a.plan.Length - time.Since(began))
	a.faults.Wait()
	starting.Wait()
	a.trace.note("all is mended")
	a.stopping.Store(true)
	for _, s := range a.slots {
		starting.Go(func() { a.alone(s, func() { s.start(a) }) })
	}
	starting.Wait()
	a.trace.note("all run")
}

// recoveryTime is how long a node may take to find the others again.
const recoveryTime = 10 * time.Second

// alone does something to a slot's process once nobody else does.
func (a *assembly) alone(s *slot, do func()) {
	s.life <- struct{}{}
	defer func() { <-s.life }()
	do()
}

// suffer lets one fault happen, and ends it.
func (a *assembly) suffer(f fault) {
	on := make([]*slot, len(f.On))
	for i, number := range f.On {
		on[i] = a.slots[number]
	}
	a.trace.note("%s for %v on %v (%d)", f.Kind, f.For, f.On, f.N)
	defer a.trace.note("%s on %v is over", f.Kind, f.On)
	if f.Kind == freeze || f.Kind == split {
		a.illUntil(on[0], time.Now().Add(f.For+longPatience+recoveryTime))
	}
	switch f.Kind {
	case crash, die, freeze, twin, leave:
		a.toEach(on[:1], f)
	case crashAll:
		a.toEach(on, f)
	case join:
		a.each(on, func(s *slot) { s.start(a) })
	case roll:
		a.roll(on)
	case split, splitGossip, splitPeers, oneWay, bridge:
		cuts := a.cuts(f, on)
		a.wires.cut(cuts, true)
		time.Sleep(f.For)
		a.wires.cut(cuts, false)
	case lossy, cutConnections, outage, sick, slow:
		a.disturb(f)
	case drain, undrain, pin, unpin:
		a.order(f)
	}
}

// each does something to slots at the same time; one whose process somebody else starts or ends is left out.
func (a *assembly) each(on []*slot, do func(*slot)) {
	var all sync.WaitGroup
	for _, s := range on {
		all.Go(func() {
			select {
			case s.life <- struct{}{}:
				defer func() { <-s.life }()
				do(s)
			default:
			}
		})
	}
	all.Wait()
}

// toEach ends processes and starts them again.
func (a *assembly) toEach(on []*slot, f fault) {
	a.each(on, func(s *slot) {
		if s.now.Load() == nil {
			return
		}
		switch f.Kind {
		case freeze:
			a.freeze(s.now.Load(), f.For)
			return
		case twin:
			a.twin(s, f.For)
			return
		case die:
			cuts := apart([]*slot{s}, a.slots, true, true)
			a.wires.cut(cuts, true)
			s.crash(a)
			time.Sleep(f.For)
			a.wires.cut(cuts, false)
		case leave:
			s.stop(a)
			time.Sleep(f.For)
		default:
			s.crash(a)
			time.Sleep(f.For)
		}
		s.start(a)
	})
}

// freeze lets nothing in or out. What was under way goes on afterwards.
func (a *assembly) freeze(p *process, pause time.Duration) {
	cuts := apart([]*slot{p.slot}, a.slots, true, true)
	a.wires.cut(cuts, true)
	p.disk.freeze()
	time.Sleep(pause)
	p.disk.unfreeze()
	a.wires.cut(cuts, false)
}

// twin has a second process run under the name of one that is frozen and then goes on, as where a machine was given up
// too early. The first one's end is a crash.
func (a *assembly) twin(s *slot, pause time.Duration) {
	first := s.now.Load()
	var thawed sync.WaitGroup
	thawed.Go(func() { a.freeze(first, pause/2) })
	time.Sleep(pause / 4)
	s.place.Store(s.elsewhere())
	s.now.Store(nil)
	s.start(a)
	thawed.Wait()
	time.Sleep(pause / 2)
	first.crash()
}

// rollPause is how long operators wait in a rolling restart before they go on.
const rollPause = time.Second

func (a *assembly) roll(on []*slot) {
	for _, s := range on {
		a.each([]*slot{s}, func(s *slot) {
			if s.now.Load() != nil {
				s.stop(a)
				s.start(a)
			}
		})
		time.Sleep(rollPause)
	}
}

// cuts is what a fault of the networks cuts.
func (a *assembly) cuts(f fault, on []*slot) []way {
	var others []*slot
	for _, s := range a.slots {
		if !contains(on, s) {
			others = append(others, s)
		}
	}
	switch f.Kind {
	case splitGossip:
		return apart(on, others, true, false)
	case splitPeers:
		return apart(on, others, false, true)
	case oneWay:
		return ways(on, others, true, true)
	case bridge: // the first is on both sides
		half := (len(on) + 1) / 2
		return apart(on[1:half], on[half:], true, true)
	default:
		return apart(on, others, true, true)
	}
}

func contains(list []*slot, s *slot) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// disturb makes something worse for a while.
func (a *assembly) disturb(f fault) {
	switch f.Kind {
	case cutConnections:
		for _, x := range a.slots {
			for _, y := range a.slots {
				a.wires.peers.Break(x.place.Load().peer, y.place.Load().peer)
			}
		}
	case outage:
		a.setAway(f.On, f.N == 1, 1)
		time.Sleep(f.For)
		a.setAway(f.On, f.N == 1, -1)
	case slow:
		a.setSlow(f, true)
		time.Sleep(f.For)
		a.setSlow(f, false)
	case sick:
		a.setSick(f.N, true)
		time.Sleep(f.For)
		a.setSick(f.N, false)
	default:
		a.wires.lose(f.N, true)
		time.Sleep(f.For)
		a.wires.lose(f.N, false)
	}
}

func (a *assembly) setSlow(f fault, begin bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range f.On {
		a.slow[s] = changed(a.slow[s], f.N, begin)
	}
}

func (a *assembly) setSick(percent int, begin bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sick = changed(a.sick, percent, begin)
}

// orderPatience bounds an operator's verb.
const orderPatience = 3 * time.Second

// order is given through some node. It may fail: the journal may be away.
func (a *assembly) order(f fault) {
	p := a.anyRunning()
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, orderPatience)
	defer cancel()
	name := a.slots[f.On[0]].name
	var err error
	switch f.Kind {
	case drain:
		err = p.node.Drain(ctx, name)
	case undrain:
		err = p.node.Undrain(ctx, name)
	case pin:
		err = p.node.Pin(ctx, f.N, name)
	default:
		err = p.node.Unpin(ctx)
	}
	a.trace.note("%s through %s: %v", f.Kind, p.slot.name, err)
}
