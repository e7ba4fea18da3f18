package cluster

import (
	"math/rand/v2"
	"time"
)

// simPlan is what one schedule is made of. Each seed draws its own: with every fault in every schedule, those that need a
// long quiet stretch before them would never be found.
type simPlan struct {
	kind                            simKind
	places, shards, entities, users int
	weights                         []int
	atStart                         int  // places whose processes start at once
	versions                        bool // each process is of a newer one than the last at its place
	smooth                          bool // nothing fails: users must not notice what goes on

	storm, disturbEvery       time.Duration
	way, journal, thinking    time.Duration // means: between processes, of a call to the journal, of a handler
	loop                      time.Duration // until a process looks at what has happened
	callEvery, patience       time.Duration
	skew                      time.Duration
	drift                     float64
	detect, detectSpread      time.Duration // how long gossip takes to lose a peer
	rejoin                    time.Duration // how long it may take to find one again
	lag                       time.Duration // how long news may take in it
	indirect, hears, refusals bool          // probes go through others; the transport tells of silence; a dead process's sockets refuse

	actions                                            []simAction // which disturbances, each as often as it is named
	lose, loseAnswer, late, double                     float64
	unknownStored, unknownLost, readFails, staleHead   float64
	lateAnswers, deriveFails                           float64
	queries, local, timers, maybe, callerKeys, repeats float64
	timerFar, flushAfter, idleAfter                    time.Duration

	cutAt    int64 // when a calm cut began
	claimers []int // places that claimed long after
}

// simKind is what a schedule is about.
type simKind uint8

const (
	_ simKind = iota // whatever comes
	// simCalmCut is one clean partition and nothing else: only one side may claim.
	simCalmCut
	simRolling
	simJoinStorm
	simAllRestart
	// simDuel is few nodes that often disagree about one shard while users read and write the same entity everywhere: that is
	// where stale answers come from.
	simDuel
	// simCalmCrash is one process that dies and nothing else: how long is each shard without an owner?
	simCalmCrash
)

// simAction is one disturbance.
type simAction uint8

const (
	simCrash simAction = iota
	simSilentCrash
	simPause
	simCut
	simOneWay
	simPartial
	simBridge
	simLeave
	simNoJournal
	simNoJournalForAll
	simOrders
	simSuspicion
	simSlow
	simStart
	simActions
)

func (a simAction) String() string {
	return [...]string{
		"crash", "silent crash", "pause", "cut in two", "one-way cut", "partial cut", "bridge", "leave", "no journal for one", "no journal for all",
		"orders", "wrong suspicion", "slow node", "start",
	}[a]
}

// drawSimPlan draws a plan: most faults are absent from most schedules, and heavy in some. adapt makes
// what a planted defect needs to be seen.
func drawSimPlan(r *rand.Rand, adapt func(*simPlan)) simPlan {
	fault := func(often, most float64) float64 {
		if r.Float64() >= often {
			return 0
		}
		return r.Float64() * most
	}
	pick := func(d ...time.Duration) time.Duration { return d[r.IntN(len(d))] }
	p := simPlan{
		kind: simKind([]int{0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6}[r.IntN(12)]), places: []int{2, 2, 3, 3, 3, 4, 5}[r.IntN(7)],
		shards: 1 + r.IntN(6), entities: 1 + r.IntN(4), users: 1 + r.IntN(3),
		storm: pick(8*time.Second, 15*time.Second, 30*time.Second), disturbEvery: pick(500*time.Millisecond, 2*time.Second, 6*time.Second),
		way: pick(200*time.Microsecond, 2*time.Millisecond, 20*time.Millisecond), journal: pick(500*time.Microsecond, 3*time.Millisecond, 30*time.Millisecond),
		thinking: pick(20*time.Microsecond, time.Millisecond, 20*time.Millisecond), loop: pick(10*time.Microsecond, 10*time.Microsecond, 5*time.Millisecond),
		callEvery: pick(100*time.Millisecond, 300*time.Millisecond, time.Second), patience: pick(500*time.Millisecond, 3*time.Second, 5*time.Second),
		skew: pick(0, 50*time.Millisecond, 2*time.Second, 10*time.Second), drift: []float64{0, 0, 1e-3, 4e-3}[r.IntN(4)],
		detect: pick(300*time.Millisecond, 2*time.Second, 2*time.Second), detectSpread: pick(200*time.Millisecond, time.Second),
		rejoin: pick(300*time.Millisecond, 4*time.Second), lag: pick(20*time.Millisecond, 400*time.Millisecond),
		indirect: r.IntN(3) > 0, hears: r.IntN(2) == 0, refusals: r.IntN(3) > 0,
		lose: fault(0.4, 0.2), loseAnswer: fault(0.4, 0.2), late: fault(0.4, 0.2), double: fault(0.4, 0.3),
		unknownStored: fault(0.4, 0.3), unknownLost: fault(0.3, 0.3), readFails: fault(0.3, 0.3), staleHead: fault(0.4, 1),
		lateAnswers: fault(0.4, 0.3), deriveFails: fault(0.2, 0.5),
		queries: fault(0.9, 0.5), local: fault(0.3, 1), timers: fault(0.4, 0.3), maybe: fault(0.6, 0.6), callerKeys: fault(0.5, 1), repeats: fault(0.5, 1),
		timerFar: pick(300*time.Millisecond, 5*time.Second, 20*time.Second), flushAfter: pick(100*time.Millisecond, 5*time.Second), idleAfter: pick(time.Second, time.Minute),
	}
	if r.IntN(12) == 0 {
		p.shards = 24 // more than a node takes at a time
	}
	p.versions = r.IntN(3) == 0
	p.atStart = 1 + r.IntN(p.places)
	for range p.places {
		p.weights = append(p.weights, []int{1, 1, 1, 1, 2, 0}[r.IntN(6)])
	}
	p.weights[1] = 1 // the clock of place 0 may be wrong
	for range 1 + r.IntN(4) {
		p.actions = append(p.actions, simAction(r.IntN(int(simActions))))
	}
	p.forKind(r)
	if adapt != nil {
		adapt(&p)
	}
	return p
}

// calmDown has nothing fail by chance.
func (p *simPlan) calmDown() {
	p.lose, p.loseAnswer, p.late, p.double, p.unknownStored, p.unknownLost = 0, 0, 0, 0, 0, 0
	p.readFails, p.staleHead, p.lateAnswers, p.deriveFails, p.drift, p.skew = 0, 0, 0, 0, 0, 0
	p.journal = min(p.journal, 3*time.Millisecond)
}

// forKind makes the plan what its kind needs.
func (p *simPlan) forKind(r *rand.Rand) {
	switch p.kind {
	case simCalmCrash:
		p.atStart, p.storm, p.disturbEvery, p.refusals, p.weights = p.places, 16*time.Second, 0, true, p.weights[:0]
		for range p.places {
			p.weights = append(p.weights, 1)
		}
		p.calmDown()
		p.detect, p.detectSpread, p.lag = 2*time.Second, 400*time.Millisecond, min(p.lag, 100*time.Millisecond)
	case simCalmCut:
		p.atStart, p.storm = p.places, 32*time.Second
		p.calmDown()
		p.detect, p.detectSpread = max(p.detect, time.Second), 200*time.Millisecond
		p.disturbEvery = 0
	case simRolling, simAllRestart:
		p.atStart, p.storm = p.places, 30*time.Second
		if r.IntN(2) == 0 {
			p.disturbEvery = 0
			p.smooth = p.kind == simRolling
		}
		if p.smooth {
			p.calmDown()
			p.patience, p.way, p.thinking = 5*time.Second, min(p.way, 2*time.Millisecond), min(p.thinking, time.Millisecond)
			for i := range p.weights {
				p.weights[i] = max(p.weights[i], 1) // so that there is an heir
			}
		}
	case simDuel:
		p.places, p.shards, p.entities, p.users = 2+r.IntN(2), 1, 1, 3
		p.weights, p.atStart = p.weights[:0], p.places
		for range p.places {
			p.weights = append(p.weights, 1)
		}
		p.actions = []simAction{simOrders, simOrders, simOrders, simSlow, simCut, simPause}
		p.disturbEvery, p.storm, p.callEvery, p.patience = 700*time.Millisecond, 15*time.Second, 30*time.Millisecond, 500*time.Millisecond
		p.lose, p.loseAnswer, p.late = r.Float64()*0.7, 0, 0 // who asks in vain for a shard claims it from an owner at work
		p.journal, p.way, p.thinking, p.loop = 3*time.Millisecond, time.Millisecond, 20*time.Microsecond, 10*time.Microsecond
		p.lateAnswers, p.queries, p.local, p.timers, p.detect = 0.1+r.Float64()/4, 0.5, 0, 0, 300*time.Millisecond
		p.readFails, p.deriveFails, p.refusals = 0, 0, false
	case simJoinStorm:
		p.atStart = 1
		if r.IntN(2) == 0 {
			p.disturbEvery = 0
		}
	}
}
