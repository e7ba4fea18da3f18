package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skerryhq/skerry/entity"
)

// chronicle notes what changes, for operators: it looks on while the loop decides, and decides nothing. It belongs to the loop's
// goroutine; what it publishes, anybody may read.
type chronicle struct {
	events *events
	self   string // incarnation
	steps  []step // by shard

	members, lost map[string]Member
	refusing      map[string]bool
	verdicts      map[string]fate
	lostAt        map[string]time.Time // by incarnation: when this node noticed that it is gone
	orders        string
	ordersErr     string // why they could not be read, the last time
	isEmpty       bool
}

// step is what this node does with a shard.
type step struct {
	what  stepKind
	since time.Time
	// with is whom it asked for the shard, or who asked for it.
	with string
	// still is when the owner was asked to serve no more, zero if that is not known.
	still time.Time
}

// stepKind is the word that operators read.
type stepKind string

const (
	stepElsewhere stepKind = "elsewhere"
	stepPreparing stepKind = "preparing"
	stepPrepared  stepKind = "prepared"
	stepAsking    stepKind = "asking"
	stepClaiming  stepKind = "claiming"
	stepServing   stepKind = "serving"
	stepYielding  stepKind = "yielding"
	stepHalted    stepKind = "halted"
)

func newChronicle(self string, shards int) *chronicle {
	return &chronicle{
		events: newEvents(), self: self, steps: make([]step, shards), members: map[string]Member{}, lost: map[string]Member{},
		refusing: map[string]bool{}, verdicts: map[string]fate{}, lostAt: map[string]time.Time{},
	}
}

func (c *chronicle) publish(e event) {
	e.at = time.Now()
	c.events.publish(e)
}

// happened notes what the host told of a shard.
func (c *chronicle) happened(o entity.Ownership) {
	s, now := &c.steps[o.Shard], time.Now()
	e := event{shard: o.Shard, who: o.Owner, epoch: o.Epoch}
	switch o.State {
	case entity.Prepared:
		s.what, s.since = stepPrepared, now
		e.kind = eventPrepared
	case entity.Serving:
		e.kind, e.pause = eventClaimed, c.pause(s, now)
		*s = step{what: stepServing, since: now}
	case entity.Yielded:
		e.kind, e.who = eventYielded, s.with
	case entity.Resumed:
		e.kind = eventResumed
		*s = step{what: stepServing, since: now}
	case entity.Fenced:
		e.kind, e.pause = eventFenced, c.pause(s, now)
		*s = step{what: stepElsewhere, since: now}
	case entity.Halted:
		e.kind, e.note = eventHalted, o.Reason
		*s = step{what: stepHalted, since: now}
	case entity.Abandoned:
		if s.what == stepPreparing || s.what == stepPrepared {
			*s = step{what: stepElsewhere, since: now}
		}
		return // it was ordered
	}
	c.publish(e)
}

// pause is how long nobody has served a shard: since its owner was asked to stop, or since this node noticed that the owner was gone.
func (c *chronicle) pause(s *step, now time.Time) time.Duration {
	if s.still.IsZero() {
		return 0
	}
	return now.Sub(s.still)
}

// ordered notes what this node does about a shard, before it does.
func (c *chronicle) ordered(o order, by *steward) {
	now := time.Now()
	switch o.kind {
	case orderPrepare:
		c.steps[o.shard] = step{what: stepPreparing, since: now}
	case sendYield:
		c.steps[o.shard] = step{what: stepAsking, since: now, with: o.to, still: now}
		c.publish(event{kind: eventAsking, shard: o.shard, who: o.to, epoch: o.epoch})
	case orderYield:
		to := by.shards[o.shard].yieldsTo
		if s := &c.steps[o.shard]; s.what == stepYielding && s.with == to {
			return // it asks again
		}
		c.steps[o.shard] = step{what: stepYielding, since: now, with: to, still: now}
		c.publish(event{kind: eventYielding, shard: o.shard, who: to})
	case orderClaim:
		s := &c.steps[o.shard]
		s.what, s.since = stepClaiming, now
		if owner := by.shards[o.shard].owner; s.still.IsZero() && owner != c.self {
			s.still = c.lostAt[owner]
		}
	case orderAbandon:
		c.steps[o.shard] = step{what: stepElsewhere, since: now}
	default:
	}
}

// noted notes what another node said of shards, before the loop acts on it.
func (c *chronicle) noted(x note, known *steward) {
	for _, claim := range x.claims {
		number := claim.GetShard()
		if int(number) >= len(c.steps) {
			continue
		}
		switch {
		case x.subject == subjectOwned && claim.GetEpoch() > known.shards[number].epoch:
			c.publish(event{kind: eventOwned, shard: number, who: x.from, epoch: claim.GetEpoch()})
		case x.subject == subjectRefused && known.shards[number].state == asking && c.steps[number].with == x.from:
			c.steps[number] = step{what: stepElsewhere, since: time.Now()}
			c.publish(event{kind: eventRefused, shard: number, who: x.from, epoch: claim.GetEpoch()})
		}
	}
}

// ordersRead notes whether the operators' orders could be read.
func (c *chronicle) ordersRead(err error) {
	c.ordersErr = ""
	if err != nil {
		c.ordersErr = err.Error()
	}
}

// look notes who came, went and changed.
func (c *chronicle) look(m Membership) {
	members, lost := byIncarnation(m.Members), byIncarnation(m.Lost)
	for _, x := range inOrder(members) {
		before, was := c.members[x.Incarnation]
		_, wasLost := c.lost[x.Incarnation]
		switch {
		case was && before != x:
			c.publish(event{kind: eventChanged, who: x.Incarnation, note: condition(x)})
		case wasLost:
			c.publish(event{kind: eventBack, who: x.Incarnation, note: condition(x)})
		case !was:
			c.publish(event{kind: eventJoined, who: x.Incarnation, note: fmt.Sprintf("%s at %s, %s", x.Incarnation, x.Peer, condition(x))})
		}
		delete(c.lostAt, x.Incarnation)
	}
	for _, x := range inOrder(c.members) {
		_, stays := members[x.Incarnation]
		_, isLost := lost[x.Incarnation]
		switch {
		case stays:
			continue
		case isLost:
			c.publish(event{kind: eventLost, who: x.Incarnation})
		default:
			c.publish(event{kind: eventLeft, who: x.Incarnation})
		}
		c.gone(x.Incarnation)
	}
	c.members, c.lost = members, lost
}

// maxGone bounds the processes whose end is remembered.
const maxGone = 1024

// gone notes when a process was missed, unless that is known.
func (c *chronicle) gone(incarnation string) {
	if len(c.lostAt) >= maxGone {
		clear(c.lostAt)
	}
	if _, known := c.lostAt[incarnation]; !known {
		c.lostAt[incarnation] = time.Now()
	}
}

func byIncarnation(members []Member) map[string]Member {
	m := make(map[string]Member, len(members))
	for _, x := range members {
		m[x.Incarnation] = x
	}
	return m
}

func inOrder(members map[string]Member) []Member {
	return slices.SortedFunc(maps.Values(members), newestFirst)
}

// condition is how a member says it is.
func condition(m Member) string {
	words := []string{"not ready"}
	if m.Ready {
		words[0] = "ready"
	}
	for _, x := range []struct {
		is   bool
		word string
	}{{m.Draining, "draining"}, {m.Leaving, "leaving"}, {m.JournalLost, "without the journal"}} {
		if x.is {
			words = append(words, x.word)
		}
	}
	return strings.Join(words, ", ")
}

// decided notes what the decider came to, after each round. While nobody is lost it costs a few comparisons.
func (c *chronicle) decided(d *decider) {
	for incarnation := range d.refusing {
		if !c.refusing[incarnation] {
			c.refusing[incarnation] = true
			c.gone(incarnation)
			c.publish(event{kind: eventRefusing, who: incarnation})
		}
	}
	maps.DeleteFunc(c.refusing, func(incarnation string, _ bool) bool { return !d.isRefusing(incarnation) })
	c.judged(d.witness)
	if !c.isEmpty && d.isFree() {
		c.isEmpty = true
		c.publish(event{kind: eventEmpty})
	}
}

// judged notes the witness's verdicts on those that gossip has lost.
func (c *chronicle) judged(w *witness) {
	for incarnation, x := range w.cases {
		before, known := c.verdicts[incarnation]
		if c.verdicts[incarnation] = x.verdict; known && before == x.verdict || x.stranger || x.verdict == unsure {
			continue
		}
		c.publish(event{kind: eventVerdict, who: incarnation, note: verdicts[x.verdict]})
	}
	maps.DeleteFunc(c.verdicts, func(incarnation string, _ fate) bool { return w.cases[incarnation] == nil })
}

var verdicts = map[fate]string{
	gone:    "gone: its shards are free to take",
	present: "present",
	unsure:  "unsure: the journal has not told yet whether it lives",
	apart:   "apart: it lives beyond a partition, on the side that may claim",
}

// viewed notes a new view, and what operators ordered if that is new.
func (c *chronicle) viewed(v View) {
	if orders := ordersOf(v); orders != c.orders {
		c.orders = orders
		c.publish(event{kind: eventOrders, note: orders})
	}
	c.publish(event{kind: eventView, note: v.String()})
}

func ordersOf(v View) string {
	if len(v.pins)+len(v.drains) == 0 {
		return "none"
	}
	var pins []string
	for i, p := range v.pins {
		if i == maxToldPins {
			pins = append(pins, fmt.Sprintf("%d more", len(v.pins)-i))
			break
		}
		pins = append(pins, fmt.Sprintf("%d on %s", p.Shard, p.Node))
	}
	return fmt.Sprintf("drained: [%s]; pinned: [%s]", strings.Join(v.drains, " "), strings.Join(pins, ", "))
}

// maxToldPins bounds the pins that one event names.
const maxToldPins = 16
