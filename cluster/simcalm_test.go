package cluster

import (
	"time"

	"github.com/skerryhq/skerry/entity/shardtest"
	"github.com/skerryhq/skerry/journal"
)

// calmCrash ends one process and measures, in simulated time, until all shards have owners again.
func (s *sim) calmCrash() {
	alive := s.alive()
	p, sockets := alive[s.rng.IntN(len(alive))], s.coin()
	most, name := 4500*time.Millisecond, "silent deaths"
	if sockets {
		most, name = 2500*time.Millisecond, "deaths that are seen at once"
	}
	p.die(sockets)
	s.awaitOwners(s.now, most, name)
}

func (s *sim) awaitOwners(died int64, most time.Duration, name string) {
	took := time.Duration(s.now - died)
	for number := range s.plan.shards {
		if s.isServed(uint32(number)) { //nolint:gosec // few
			continue
		}
		if took > most {
			s.fail("shard %d has no owner %v after one process died and nothing else", number, took)
		}
		s.after(int64(20*time.Millisecond), func() { s.awaitOwners(died, most, name) })
		return
	}
	s.counts[name]++
	s.counts["milliseconds without an owner after "+name] += int(took / time.Millisecond)
}

// isServed tells whether the process of the newest claim lives and serves.
func (s *sim) isServed(number uint32) bool {
	for _, p := range s.alive() {
		if a := p.shards[number]; a != nil && a.m.Phase() == shardtest.Serving && s.truth.prev[number].Writer == p.incarnation {
			return true
		}
	}
	return false
}

// calmCut cuts the cluster in two and lets it be. Once all know, one side at most claims.
func (s *sim) calmCut() {
	s.counts["calm cuts"]++
	s.halves()
	s.plan.cutAt = s.now
}

// claimed judges a claim that landed.
func (s *sim) claimed(a *simShard, rec journal.Record) {
	s.checkDuel(a)
	const known = 9 * time.Second
	if s.plan.cutAt == 0 || s.calm || s.now < s.plan.cutAt+int64(known) {
		return
	}
	p := a.p.place.number
	s.plan.claimers = append(s.plan.claimers, p)
	for _, q := range s.plan.claimers {
		if !s.linked(p, q) {
			s.fail("%s claims shard %d %v after a cut, and so has %s on the other side", a, a.number, time.Duration(s.now-s.plan.cutAt), s.places[q].node)
		}
	}
}

// simMostClaims is how often a process may claim one shard in 5 s. Schedules in which nothing is wrong reach 4.
const simMostClaims = 6

// checkDuel: nodes that disagree about a shard take it from each other for a while, but more and more seldom.
func (s *sim) checkDuel(a *simShard) {
	n := 0
	a.p.claims = append(a.p.claims, simClaim{a.number, s.now})
	for _, c := range a.p.claims {
		if c.shard == a.number && s.now-c.at < int64(5*time.Second) {
			n++
		}
	}
	if n > simMostClaims {
		s.fail("%s claims shard %d for the %dth time in 5 s", a, a.number, n)
	}
}
