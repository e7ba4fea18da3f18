package shard

import "time"

// simMove is a planned move: one owner prepares, another yields, the first claims. Each message between
// them may be late or lost, and either may go away.
type simMove struct {
	s        *sim
	from, to *simOwner
	prepared int
}

// move begins a planned move from whoever serves, if anybody does.
func (s *sim) move() {
	var from *simOwner
	for _, o := range s.alive() {
		if o.m.Phase() == Serving {
			from = o
		}
	}
	if from == nil {
		return
	}
	v := &simMove{s: s, from: from, to: s.newOwner()}
	v.to.move = v
	s.counts["moves"]++
	s.log("%s <- prepare, to take over from %s", v.to.name, from.name)
	v.to.input(v.to.m.Prepare)
	s.after(s.pause(200*s.mix.latency)+int64(100*s.mix.latency), v.giveUp)
}

// sends lets something happen at the other side, unless the message is lost.
func (v *simMove) sends(do func()) {
	if v.s.chance(v.s.mix.moveLoses) {
		v.s.counts["move's message lost"]++
		return
	}
	v.s.after(v.s.pause(v.s.mix.latency), do)
}

// onPrepared goes on once the tail was taken in.
func (v *simMove) onPrepared() {
	s := v.s
	s.counts["prepared"]++
	v.prepared++
	if v.prepared < 4 && s.coin() {
		s.after(s.pause(3*s.mix.latency), func() { v.to.input(v.to.m.Prepare) })
		return
	}
	v.sends(func() {
		s.log("%s <- yield", v.from.name)
		v.from.yieldsTo = v
		v.from.input(func(now int64) { v.from.m.Yield(now, now+s.pause(10*s.mix.latency)) })
	})
	if s.chance(s.mix.moveHasty) { // and does not wait for it
		s.after(s.pause(2*s.mix.latency), v.claim)
	}
}

// onYielded tells the next owner to claim.
func (v *simMove) onYielded() {
	v.s.counts["yielded"]++
	v.sends(v.claim)
}

func (v *simMove) claim() {
	v.s.log("%s <- start", v.to.name)
	v.to.input(v.to.m.Start)
	v.sends(func() { v.from.input(v.from.m.Look) })
}

// giveUp ends a next owner that was never told to claim.
func (v *simMove) giveUp() {
	if v.to.dead || !v.to.m.Info().Preparing {
		return
	}
	v.s.counts["move given up"]++
	v.to.aborted = true
	v.to.input(func(now int64) { v.to.m.Abandon(now) })
	v.to.dead = true
}

// moves tells a move what a machine says of it.
func (o *simOwner) moves(r *Ready) {
	if r.Prepared && o.move != nil {
		o.s.after(0, o.move.onPrepared)
	}
	if r.Yielded && o.yieldsTo != nil {
		o.s.after(0, o.yieldsTo.onYielded)
	}
	if r.Resumed {
		o.s.counts["resumed"]++
		o.s.log("%s serves on after %v", o.name, time.Duration(o.m.now-simStart))
	}
}
