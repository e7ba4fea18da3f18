package cluster

import (
	"slices"
	"time"
)

// simGossip is what one process's gossip knows. It is a model of what memberlist shows: it finds others, loses those
// that are silent for long enough, is wrong now and then, and news in it takes its time.
type simGossip struct {
	peers []*simPeer // by the number of the process; nil for those never heard of
	told  []simNews  // what this process said of itself, oldest first
}

// simPeer is what is known of one process.
type simPeer struct {
	p         *simProcess
	self      Member
	member    bool
	lost      bool
	gone      bool // it said goodbye
	heard     int64
	patience  int64 // how long it may be silent
	findAt    int64 // when it is found again; 0 if it is not looked for
	doubtedTo int64 // it is thought silent until then, wrongly
	hinted    bool
}

// simNews is what a process says of itself, and since when.
type simNews struct {
	at   int64
	self Member
}

// simGossipPause is the time from one look at the others to the next.
const simGossipPause = 200 * time.Millisecond

// start joins: what can be reached is known at once, mostly.
func (g *simGossip) start(p *simProcess) {
	s := p.s
	g.told = []simNews{{s.now, p.self}}
	if s.plan.smooth || !s.chance(0.1) {
		for _, q := range s.alive() {
			if q != p && s.reaches(p, q) && !q.paused {
				g.meet(p, q)
				g.peers[q.number].member = true
			}
		}
	}
	g.keepLooking(p)
}

func (g *simGossip) keepLooking(p *simProcess) {
	p.after(int64(simGossipPause)*9/10+p.s.rng.Int64N(int64(simGossipPause)/5), func() {
		if g.lookAround(p) {
			p.look()
		}
		g.keepLooking(p)
	})
}

// meet begins to know a process.
func (g *simGossip) meet(p, q *simProcess) *simPeer {
	for len(g.peers) <= q.number {
		g.peers = append(g.peers, nil)
	}
	if g.peers[q.number] == nil {
		g.peers[q.number] = &simPeer{p: q, self: q.gossip.told[0].self, heard: p.s.now, patience: g.patience(p)}
	}
	return g.peers[q.number]
}

func (g *simGossip) patience(p *simProcess) int64 {
	return p.s.between(p.s.plan.detect, p.s.plan.detect+p.s.plan.detectSpread)
}

// lookAround tells whether anything has changed.
func (g *simGossip) lookAround(p *simProcess) (changed bool) {
	for _, x := range p.s.places {
		if q := x.process; q != nil && q != p && !q.dead {
			g.meet(p, q)
		}
	}
	for _, x := range g.peers {
		if x != nil && !x.gone {
			changed = g.lookAt(p, x) || changed
		}
	}
	return changed
}

func (g *simGossip) lookAt(p *simProcess, x *simPeer) bool {
	s := p.s
	hears := !x.p.dead && !x.p.paused && s.reaches(p, x.p) && x.doubtedTo <= s.now
	switch {
	case hears && x.member:
		x.heard, x.hinted = s.now, false
		return x.hear(s)
	case hears && x.findAt == 0:
		x.findAt = s.now + s.rng.Int64N(int64(s.plan.lag))
		if x.lost {
			x.findAt = s.now + s.rng.Int64N(int64(s.plan.rejoin))
		}
		return false
	case hears && x.findAt <= s.now:
		x.member, x.lost, x.heard, x.findAt, x.patience = true, false, s.now, 0, g.patience(p)
		x.hear(s)
		s.log("%s finds %s", p.incarnation, x.p.incarnation)
		return true
	case hears:
		return false
	}
	x.findAt = 0
	if x.member && s.plan.hears && !x.hinted && s.now-x.heard > int64(time.Second) {
		x.hinted = true
		p.put(silent{x.p.incarnation})
	}
	if !x.member || s.now-x.heard < x.patience {
		return false
	}
	x.member, x.lost = false, true
	s.counts["lost by gossip"]++
	s.log("%s loses %s", p.incarnation, x.p.incarnation)
	return true
}

// hear takes the newest that has come by now.
func (x *simPeer) hear(s *sim) bool {
	news := x.p.gossip.told
	for i := len(news) - 1; i >= 0; i-- {
		if s.now-news[i].at >= int64(s.plan.lag) || i == 0 {
			changed := x.self != news[i].self
			x.self = news[i].self
			return changed
		}
	}
	return false
}

// membership is what is known now.
func (g *simGossip) membership() Membership {
	known := Membership{Members: []Member{g.told[len(g.told)-1].self}}
	for _, x := range g.peers {
		switch {
		case x == nil || x.gone:
		case x.member:
			known.Members = append(known.Members, x.self)
		case x.lost:
			known.Lost = append(known.Lost, x.self)
		}
	}
	return known
}

// announce tells others how the process is from now on.
func (g *simGossip) announce(p *simProcess) {
	g.told = append(g.told, simNews{p.s.now, p.self})
	p.look()
}

// farewell tells those who can hear it that the process has left.
func (g *simGossip) farewell(p *simProcess) {
	for _, q := range p.s.alive() {
		if q == p || q.paused || !p.s.reaches(q, p) {
			continue
		}
		q.after(p.s.pause(p.s.plan.lag), func() {
			x := q.gossip.meet(q, p)
			x.member, x.lost, x.gone = false, false, true
			q.look()
		})
	}
}

// woken: what was silent meanwhile may only seem to have been.
func (g *simGossip) woken(p *simProcess) {
	for _, x := range g.peers {
		if x != nil && x.member && !p.s.chance(0.3) {
			x.heard = p.s.now
		}
	}
}

// suspect has gossip be wrong about a process for a while.
func (g *simGossip) suspect(p, q *simProcess, until int64) {
	if x := g.meet(p, q); x.member {
		x.doubtedTo = until
		x.heard = min(x.heard, p.s.now-x.patience)
	}
}

// reaches tells whether two processes hear each other by gossip: directly, or, if probes go through others, with one's help.
func (s *sim) reaches(p, q *simProcess) bool {
	if s.linked(p.place.number, q.place.number) {
		return true
	}
	return s.plan.indirect && slices.ContainsFunc(s.alive(), func(r *simProcess) bool {
		return !r.paused && r != p && r != q && s.linked(p.place.number, r.place.number) && s.linked(r.place.number, q.place.number)
	})
}
