package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/entity"
)

// simBug is a defect that a test plants, to show that the simulation finds it. The zero value is none. Defects of
// machines are in the machines; those of what is around them are here, so that no program has them.
type simBug struct {
	name    string
	plan    func(*simPlan) // what it needs to be seen
	machine string         // a defect of the shards' machines
	drops   orderKind      // orders that the node does not obey

	rows    func(p *simProcess, rows []Witness) []Witness
	request func(o *simOp, req *entity.Request)
	hasty   bool // who was fenced claims again at once
	naive   bool // takes any answer that says no for the last word
}

// tamperRows is what the witness sees of the rows.
func (b *simBug) tamperRows(p *simProcess, rows []Witness) []Witness {
	if b.rows == nil {
		return rows
	}
	return b.rows(p, rows)
}

// tamper is what an attempt sends.
func (b *simBug) tamper(o *simOp, req *entity.Request) {
	if b.request != nil {
		b.request(o, req)
	}
}

// hurry has a process that was fenced not wait.
func (b *simBug) hurry(p *simProcess, o entity.Ownership) {
	if x := &p.decider.steward.shards[o.Shard]; b.hasty && o.State == entity.Fenced {
		x.until, x.backoff, x.owner = 0, 0, ""
	}
}

// believes tells that an answer is the last word although it is not.
func (b *simBug) believes(err error) bool {
	return b.naive && errors.Is(err, entity.ErrUnavailable)
}

// TestPlantedBugsAreFound plants one defect after another: a simulation that does not find them proves nothing. Not
// parallel: each search uses all workers.
func TestPlantedBugsAreFound(t *testing.T) {
	const most = 3000
	for _, b := range simBugs() {
		t.Run(b.name, func(t *testing.T) {
			bad := simulate(t, 1, most, b, simCounts{})
			if bad == nil {
				t.Fatalf("not found in %d schedules", most)
			}
			t.Logf("found by schedule %d: %.300s", bad.seed, bad.what)
		})
	}
}

// simBugs are the defects that are looked for.
func simBugs() []simBug {
	calm := func(p *simPlan) {
		p.kind, p.atStart = simCalmCut, p.places
		p.forKind(rand.New(rand.NewPCG(1, 1)))
	}
	duel := func(p *simPlan) {
		p.kind, p.smooth = simDuel, false
		p.forKind(rand.New(rand.NewPCG(1, 1)))
		p.lose, p.lateAnswers = 0.5, 0.3
	}
	refusing := func(p *simPlan) {
		p.kind, p.smooth = 0, false
		p.maybe, p.callerKeys, p.late, p.loseAnswer = 0.7, 0, 0.2, 0.2
	}
	return []simBug{
		{name: "an owner goes on after another's claim", machine: "skip the fence"},
		{name: "an answer leaves before anything is committed", machine: "answer early"},
		{name: "keys are not remembered", machine: "forget a key"},
		{name: "a check that was under way confirms what came later", plan: duel, machine: "confirm by what is under way"},
		{name: "who claims does not take in the log's tail", machine: "drop the pins of a take-over"},
		{name: "what was prepared counts though others wrote since", machine: "take what was prepared for all there is"},
		{name: "who is told of another's claim does not look", drops: orderLook},
		{name: "a claim is told to nobody", drops: sendOwned},
		{name: "a shard is not prepared", drops: orderPrepare},
		{name: "attempts are not counted", plan: refusing, request: func(_ *simOp, req *entity.Request) { req.Attempt = 1 }},
		{name: "each attempt has a key of its own", request: func(o *simOp, req *entity.Request) {
			if !req.Query {
				req.Key = entity.CallerKey(fmt.Sprint(o.number, " ", o.tries, " ", o.attempt))
			}
		}},
		{name: "unavailable is the last word after an unknown outcome", naive: true},
		{name: "who was fenced does not wait and asks nobody", hasty: true},
		{name: "who is lost is taken for dead though its row is renewed", plan: calm, rows: heardOnly},
		{name: "a side does not count those that it does not hear", plan: calm, rows: deafOthers},
	}
}

func simBugNamed(begin string) simBug {
	for _, b := range simBugs() {
		if begin != "" && strings.HasPrefix(b.name, begin) {
			return b
		}
	}
	return simBug{}
}

// heardOnly hides the rows of those that the process does not hear.
func heardOnly(p *simProcess, rows []Witness) []Witness {
	return slices.DeleteFunc(slices.Clone(rows), func(w Witness) bool {
		return w.Incarnation != p.incarnation && !p.decider.witness.members[w.Incarnation]
	})
}

// deafOthers takes the voices from those that the process does not hear: its own side is the strongest, always.
func deafOthers(p *simProcess, rows []Witness) []Witness {
	out := slices.Clone(rows)
	for i, w := range out {
		if w.Incarnation == p.incarnation || p.decider.witness.members[w.Incarnation] {
			continue
		}
		v, _ := decodeVoice(w.Incarnation, w.View)
		v.hears, v.votes = nil, false
		out[i].View = v.encode()
	}
	return out
}
