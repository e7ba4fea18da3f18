package cluster

import "time"

// script begins what the schedule is about.
func (s *sim) script() {
	order := s.rng.Perm(s.plan.places)
	for _, i := range order[:s.plan.atStart] {
		s.after(s.rng.Int64N(int64(300*time.Millisecond)), s.places[i].run)
	}
	switch s.plan.kind {
	case simCalmCrash:
		s.after(int64(9*time.Second), s.calmCrash)
	case simCalmCut:
		s.after(int64(7*time.Second), s.calmCut)
	case simRolling:
		s.after(int64(4*time.Second), func() { s.roll(order) })
	case simJoinStorm:
		s.after(s.between(time.Second, 5*time.Second), func() { s.startAll(order) })
	case simAllRestart:
		s.after(int64(6*time.Second), func() { s.restartAll(order) })
	}
	s.disturbLater()
}

// later has something happen, unless the quiet comes first.
func (s *sim) later(d int64, do func()) {
	s.after(d, func() {
		if !s.calm {
			do()
		}
	})
}

// startAll starts whatever does not run, within half a second.
func (s *sim) startAll(order []int) {
	s.log("--- all start")
	s.counts["join storms"]++
	for _, i := range order {
		s.later(s.rng.Int64N(int64(500*time.Millisecond)), s.places[i].run)
	}
}

// restartAll ends all processes at once, in one way or another, and starts them again.
func (s *sim) restartAll(order []int) {
	s.log("--- all restart")
	s.counts["all restarted at once"]++
	leave := s.coin()
	for _, p := range s.alive() {
		if leave {
			p.leave()
		} else {
			p.die(s.coin())
		}
	}
	for _, i := range order {
		s.later(s.between(0, 3*time.Second), s.places[i].run)
		s.later(s.between(16*time.Second, 17*time.Second), s.places[i].run)
	}
}

// roll restarts one node after the other.
func (s *sim) roll(order []int) {
	if len(order) == 0 || s.calm {
		return
	}
	x := s.places[order[0]]
	p := x.process
	if p == nil || p.dead {
		x.run()
		s.later(int64(2*time.Second), func() { s.roll(order[1:]) })
		return
	}
	s.counts["rolled"]++
	p.leave()
	s.awaitEnd(p, func() {
		s.later(s.between(100*time.Millisecond, 2*time.Second), func() {
			x.run()
			pause := s.between(500*time.Millisecond, 4*time.Second)
			if s.plan.smooth { // who restarts nodes waits until the others know of the new one
				pause = max(pause, int64(2*time.Second))
			}
			s.later(pause, func() { s.roll(order[1:]) })
		})
	})
}

func (s *sim) awaitEnd(p *simProcess, then func()) {
	if p.dead {
		then()
		return
	}
	s.after(int64(100*time.Millisecond), func() { s.awaitEnd(p, then) })
}

// disturbLater disturbs now and then until the quiet.
func (s *sim) disturbLater() {
	if s.plan.disturbEvery == 0 {
		return
	}
	s.later(s.pause(s.plan.disturbEvery), func() {
		if !s.calm {
			s.disturb(s.plan.actions[s.rng.IntN(len(s.plan.actions))])
			s.disturbLater()
		}
	})
}

// disturb does one thing that nodes must live with.
func (s *sim) disturb(what simAction) {
	x := s.places[s.rng.IntN(len(s.places))]
	p := x.process
	lives := p != nil && !p.dead
	s.counts["disturbed: "+what.String()]++
	switch {
	case what == simStart, !lives && what <= simPause:
		x.run()
	case what == simCrash && lives, what == simSilentCrash && lives:
		p.die(what == simCrash)
		s.later(s.pause(4*time.Second), x.run)
	case what == simPause && lives:
		p.pause()
		s.later(s.pause(3*time.Second), p.wake)
	case what == simLeave && lives:
		p.leave()
		s.awaitEnd(p, func() { s.later(s.pause(2*time.Second), x.run) })
	case what == simCut, what == simOneWay, what == simPartial, what == simBridge:
		s.cutSome(what)
		s.later(s.pause(6*time.Second), s.heal)
	case what == simNoJournal:
		s.log("%s cannot reach the journal", x.node)
		s.journal.awayFrom[x.number] = true
		s.later(s.pause(4*time.Second), func() { s.journal.awayFrom[x.number] = false })
	case what == simNoJournalForAll:
		s.log("the journal is away")
		s.journal.away = true
		s.later(s.pause(4*time.Second), func() { s.journal.away = false })
	case what == simOrders:
		s.orders()
	case what == simSuspicion && lives:
		if alive := s.alive(); len(alive) > 1 {
			q := alive[s.rng.IntN(len(alive))]
			s.log("%s suspects %s", p.incarnation, q.incarnation)
			if q != p {
				p.gossip.suspect(p, q, s.now+s.pause(2*time.Second))
			}
		}
	case what == simSlow:
		s.log("%s is slow", x.node)
		x.slow = 20
		s.later(s.pause(4*time.Second), func() { x.slow = 1 })
	}
}

// halves cuts the places into two sides.
func (s *sim) halves() {
	side := make([]bool, len(s.places))
	for i := range side {
		side[i] = s.coin()
	}
	side[s.rng.IntN(len(side))] = true
	s.log("cut in two: %v", side)
	for i := range side {
		for j := range side {
			if side[i] != side[j] {
				s.cut(i, j)
			}
		}
	}
}

// cutSome cuts ways between places.
func (s *sim) cutSome(what simAction) {
	n := len(s.places)
	i, j := s.rng.IntN(n), s.rng.IntN(n)
	switch what {
	case simCut:
		s.halves()
	case simOneWay:
		s.log("cut from %d to %d", i, j)
		s.cut(i, j)
	case simPartial:
		s.log("cut between %d and %d", i, j)
		s.cutBoth(i, j)
	case simBridge: // all are cut from each other, but for one
		s.log("cut all but %d", i)
		for a := range n {
			for b := range n {
				if a != i && b != i {
					s.cut(a, b)
				}
			}
		}
	}
}

// orders has an operator want something else.
func (s *sim) orders() {
	var o orders
	for _, x := range s.places {
		if s.rng.IntN(4) == 0 {
			o.drains = append(o.drains, x.node)
		}
	}
	for i := range s.plan.shards {
		if s.rng.IntN(3) == 0 {
			o.pins = append(o.pins, Pin{Shard: i, Node: s.places[s.rng.IntN(len(s.places))].node})
		}
	}
	s.log("orders: %+v", o)
	s.journal.orders = o
	for _, p := range s.alive() {
		if s.coin() {
			p.after(s.pause(s.plan.way), func() { p.put(ordersChanged{}) })
		}
	}
}
