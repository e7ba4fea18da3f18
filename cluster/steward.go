package cluster

import (
	"hash/fnv"
	"slices"
	"time"

	"github.com/skerryhq/skerry/entity"
)

// steward decides for one node what is to become of each shard: it compares where a shard belongs with where it
// is. It is a pure machine: what happens goes in with the time, orders and messages come out. A wrong
// decision costs a claim and never an event, for the log fences.
//
// The node where a shard belongs brings it there; nobody else does anything but answer:
//
//	a shard is wanted ─► prepare ─► its owner lives ─► ask it to yield ─► it has yielded ─► claim ─► tell all
//	                       └──────► its owner is gone ────────────────────────────────────► claim ─► tell all
//
// An owner that does not answer is overtaken. An owner that refuses has another view, so
// the asker waits until its own changes, or a while.
type steward struct {
	self  Member
	view  View
	table Table
	fate  func(incarnation string) fate
	// quiet tells that nothing is heard of a member: it may have died, or be cut off.
	quiet  func(incarnation string) bool
	shards []stewarded
	taking int // shards between prepare and claim
	// crowded: a shard waits for the end of another's take.
	crowded bool
	out     []order
}

// stewarded is what is known of one shard.
type stewarded struct {
	state takeState
	// owner is the incarnation that wrote the newest claim known, the one of epoch.
	owner string
	epoch uint64
	// yieldsTo is who asked this node for the shard, while it yields.
	yieldsTo string
	// until is when the step under way is given up, or when the next one may be tried.
	until   int64
	backoff time.Duration
	since   int64 // it serves, or did last
	asked   int   // how often the owner was asked to yield, in vain
}

// takeState is how far this node is with a shard.
type takeState uint8

const (
	elsewhere takeState = iota
	preparing
	ready  // prepared, and the owner's fate is not known yet
	asking // the owner, to yield
	claiming
	serving
)

// fate is what became of a process, as far as a node can tell.
type fate uint8

const (
	// gone: it has left or has crashed.
	gone fate = iota
	// present: it is a member.
	present
	// unsure: gossip has lost it, or never told of it, and the journal has not told yet.
	unsure
	// apart: it lives beyond a partition, on the side that may claim.
	apart
)

// orderKind is what an order wants.
type orderKind uint8

const (
	orderPrepare orderKind = iota + 1
	orderClaim
	orderAbandon
	orderYield
	orderLook
	// The rest are messages: to the member To, or to all where that is empty.
	sendYield
	sendYielded
	sendRefused
	sendOwned
	// These are about no shard: tell gossip what the node says of itself, read the witness rows or the operators' orders.
	orderAnnounce
	orderReadRows
	orderReadOrders
	// Look for the members that this node watches; have the others look for To.
	orderWatchRing
	orderTellGone
)

// order is what the node has to do about a shard.
type order struct {
	kind  orderKind
	shard uint32
	to    string // incarnation
	owner string // with sendOwned and sendRefused: the owner known, by the claim of epoch
	epoch uint64
}

const (
	// maxTaking bounds the shards that a node takes at a time, so that the first are served soon.
	maxTaking = 16
	// yieldPause is how long an owner that has yielded waits for the claim.
	yieldPause = 500 * time.Millisecond
	// askPatience is how long an owner may take to yield; a handler may be running.
	askPatience = time.Second
	// maxAsks is how often an owner is asked that is a member and of which nothing is heard.
	maxAsks = 5
	// firstWait and lastWait bound the pause after a refusal, or after having been fenced.
	firstWait = 100 * time.Millisecond
	lastWait  = 5 * time.Second
	// haltedWait is the pause before a shard that halted is tried again.
	haltedWait = 10 * time.Second
	// unwantedPause is how often the owner of a shard that belongs elsewhere looks whether it still is the owner, and tells the
	// other one that it is: what was told once may have been lost.
	unwantedPause = 5 * time.Second
)

func newSteward(self Member, shards int, fate func(string) fate) *steward {
	return &steward{self: self, fate: fate, quiet: func(string) bool { return false }, shards: make([]stewarded, shards)}
}

// orders returns what is to be done, and forgets it.
func (s *steward) orders() []order {
	out := s.out
	s.out = nil
	return out
}

// judged takes in that it may be known now what became of an owner.
func (s *steward) judged(now int64) {
	for i := range s.shards {
		if x := &s.shards[i]; x.state == ready {
			x.until = 0
		}
	}
	s.lookAll()
	s.tick(now)
}

// lookAll has this node look whether it still owns what it serves, whenever a process comes or goes. One that is gone may have
// claimed a shard before, while this one could not hear it: nobody else is there to tell.
func (s *steward) lookAll() {
	for i := range s.shards {
		if s.shards[i].state == serving {
			s.order(orderLook, uint32(i)) //nolint:gosec // an index of shards
		}
	}
}

// goOn begins with the shards that waited for room.
func (s *steward) goOn(now int64) {
	if s.crowded && s.taking < maxTaking {
		s.crowded = false
		s.tick(now)
	}
}

// see takes in a view. A member that is new is told what this node owns.
func (s *steward) see(now int64, v View) {
	before := s.view
	s.view, s.table = v, Place(v)
	for _, m := range v.Members() {
		if old, known := before.Member(m.Node); m.Incarnation != s.self.Incarnation && (!known || old.Incarnation != m.Incarnation) {
			s.introduce(m.Incarnation)
		}
	}
	if !slices.EqualFunc(before.members, v.members, func(a, b Member) bool { return a.Incarnation == b.Incarnation }) {
		s.lookAll()
	}
	for i := range s.shards {
		switch x := &s.shards[i]; {
		case x.state == elsewhere:
			x.until, x.backoff = 0, 0 // who refused may think otherwise now
		case x.state == asking && s.fate(x.owner) != present: // it will not answer any more
			s.settle(x, ready)
			x.until = 0
		}
	}
	s.tick(now)
}

func (s *steward) introduce(to string) {
	for i := range s.shards {
		if x := &s.shards[i]; x.state == serving {
			s.tellOwned(uint32(i), to) //nolint:gosec // an index of shards
		}
	}
}

// tick begins what is due.
func (s *steward) tick(now int64) {
	for i := range s.shards {
		s.consider(now, uint32(i)) //nolint:gosec // an index of shards
	}
}

// wake is when tick is to be called next.
func (s *steward) wake() int64 {
	var at int64
	for i := range s.shards {
		if u := s.shards[i].until; u != 0 && (at == 0 || u < at) {
			at = u
		}
	}
	return at
}

// wants tells whether a shard belongs on this node.
func (s *steward) wants(number uint32) bool {
	return s.table.Of(int(number)).Node == s.self.Node && s.isMember()
}

// isMember is false while another process has this node's name and started later.
func (s *steward) isMember() bool {
	m, ok := s.view.Member(s.self.Node)
	return ok && m.Incarnation == s.self.Incarnation
}

// consider looks at one shard.
func (s *steward) consider(now int64, number uint32) {
	x := &s.shards[number]
	if !s.wants(number) {
		s.leave(now, number)
		return
	}
	if x.until > now {
		return
	}
	switch x.state {
	case elsewhere:
		s.begin(number)
	case ready:
		s.approach(now, number)
	case asking: // it has not answered
		s.insist(now, number)
	case preparing, claiming, serving:
		x.until = 0
	}
}

// leave drops what was begun with a shard that belongs elsewhere. A claim that was sent
// may be in the log already, so it is seen through.
func (s *steward) leave(now int64, number uint32) {
	x := &s.shards[number]
	switch x.state {
	case serving:
		s.keep(now, number)
		return
	case preparing, ready, asking:
		s.settle(x, elsewhere)
		s.order(orderAbandon, number)
	case elsewhere, claiming:
	}
	x.until = 0
}

// keep serves a shard that belongs elsewhere, until it is taken. Of two nodes of which each thinks that it is the other's
// turn, or that it is the owner itself, one learns so where it is wrong.
func (s *steward) keep(now int64, number uint32) {
	x := &s.shards[number]
	if x.until > now {
		return
	}
	if m, ok := s.view.Member(s.table.Of(int(number)).Node); ok && x.until != 0 {
		s.order(orderLook, number)
		s.tellOwned(number, m.Incarnation)
	}
	x.until = now + int64(unwantedPause)
}

// tellOwned tells another process, or all, that this one has claimed a shard, unless it knows of a newer claim.
func (s *steward) tellOwned(number uint32, to string) {
	if x := &s.shards[number]; x.owner == s.self.Incarnation {
		s.out = append(s.out, order{kind: sendOwned, shard: number, to: to, owner: x.owner, epoch: x.epoch})
	}
}

// begin takes up a shard: at once where its owner is known to be gone.
func (s *steward) begin(number uint32) {
	x := &s.shards[number]
	switch {
	case s.taking >= maxTaking:
		s.crowded = true
	case x.owner != "" && x.owner != s.self.Incarnation && s.fate(x.owner) == gone:
		s.settle(x, preparing)
		s.claim(number)
	default:
		s.settle(x, preparing)
		x.until = 0
		s.order(orderPrepare, number)
	}
}

// approach goes on with a shard whose tail is in memory.
func (s *steward) approach(now int64, number uint32) {
	x := &s.shards[number]
	switch f := s.fate(x.owner); {
	case x.owner == "" || x.owner == s.self.Incarnation || f == gone || s.isWithoutJournal(x.owner):
		s.claim(number)
	case f == present:
		s.settle(x, asking)
		x.until = now + int64(askPatience)
		s.out = append(s.out, order{kind: sendYield, shard: number, to: x.owner, epoch: x.epoch})
	default:
		s.settle(x, ready)
		x.until = now + int64(firstWait)
	}
}

// isWithoutJournal tells that a member says it cannot reach the journal: it cannot end what it has begun either.
func (s *steward) isWithoutJournal(incarnation string) bool {
	for _, m := range s.view.members {
		if m.Incarnation == incarnation {
			return m.JournalLost
		}
	}
	return false
}

// insist overtakes an owner that does not answer. Of one that nothing is heard of, gossip and the journal tell soon whether it
// has died or is cut off; then it may be on the side that claims, so for a while it is only asked again.
func (s *steward) insist(now int64, number uint32) {
	x := &s.shards[number]
	if x.asked++; x.asked < maxAsks && s.quiet(x.owner) {
		s.approach(now, number)
		return
	}
	s.claim(number)
}

func (s *steward) claim(number uint32) {
	x := &s.shards[number]
	s.settle(x, claiming)
	x.until, x.asked = 0, 0
	s.order(orderClaim, number)
}

// settle changes the state of a shard, and counts those that are being taken.
func (s *steward) settle(x *stewarded, to takeState) {
	taking := func(t takeState) bool { return t != elsewhere && t != serving }
	if taking(x.state) {
		s.taking--
	}
	if taking(to) {
		s.taking++
	}
	x.state = to
}

func (s *steward) order(kind orderKind, number uint32) {
	s.out = append(s.out, order{kind: kind, shard: number})
}

// learn takes in that a claim exists, and tells whether it is news.
func (x *stewarded) learn(owner string, epoch uint64) bool {
	if epoch <= x.epoch {
		return false
	}
	x.owner, x.epoch = owner, epoch
	return true
}

// happened takes in what the host tells of a shard.
func (s *steward) happened(now int64, o entity.Ownership) {
	x := &s.shards[o.Shard]
	x.learn(o.Owner, o.Epoch)
	switch o.State {
	case entity.Prepared:
		if x.state == preparing {
			s.approach(now, o.Shard)
		}
	case entity.Serving:
		s.settle(x, serving)
		x.until, x.since = 0, now
		if x.owner != o.Owner { // it was overtaken while it read the log, when it had nothing to look at
			s.order(orderLook, o.Shard)
			return
		}
		s.tellOwned(o.Shard, "")
	case entity.Yielded:
		if x.yieldsTo != "" {
			s.out = append(s.out, order{kind: sendYielded, shard: o.Shard, to: x.yieldsTo, epoch: o.Epoch})
		}
	case entity.Resumed:
		x.yieldsTo = ""
	case entity.Fenced:
		if now-x.since > int64(lastWait) { // else they duel: two nodes think for a while that it is theirs
			x.backoff = 0
		}
		s.lost(now, o.Shard, s.wait(x, o.Shard))
	case entity.Halted:
		s.lost(now, o.Shard, haltedWait)
	case entity.Abandoned:
		s.again(o.Shard)
	}
}

// again repeats what was told to the host of a shard while that was still dropping what it had prepared before.
func (s *steward) again(number uint32) {
	switch s.shards[number].state {
	case preparing:
		s.order(orderPrepare, number)
	case claiming:
		s.order(orderClaim, number)
	case elsewhere, ready, asking, serving:
	}
}

// lost puts a shard off that this node does not serve any more.
func (s *steward) lost(now int64, number uint32, pause time.Duration) {
	x := &s.shards[number]
	s.settle(x, elsewhere)
	x.yieldsTo = ""
	x.until = now + int64(pause)
}

// wait is longer each time, and not the same on any two nodes.
func (s *steward) wait(x *stewarded, number uint32) time.Duration {
	x.backoff = min(max(2*x.backoff, firstWait), lastWait)
	h := fnv.New32a()
	_, _ = h.Write([]byte(s.self.Incarnation))
	_, _ = h.Write([]byte{byte(number), byte(number >> 8), byte(x.backoff >> 20)})
	return x.backoff + x.backoff*time.Duration(h.Sum32()%1000)/1000
}

// owned takes in that another process says it has claimed a shard.
func (s *steward) owned(now int64, number uint32, owner string, epoch uint64) {
	if int(number) >= len(s.shards) {
		return
	}
	x := &s.shards[number]
	if epoch < x.epoch { // who says that it has the shard was not told of a later claim
		s.out = append(s.out, order{kind: sendRefused, shard: number, to: owner, owner: x.owner, epoch: x.epoch})
	}
	if news := x.learn(owner, epoch); owner == s.self.Incarnation || !news && (x.state != serving || epoch != x.epoch) {
		return
	}
	switch x.state {
	case serving, claiming: // told again, it looks again: what it asked for may have come to nothing
		s.order(orderLook, number)
	case asking, ready: // of an owner that is none any more
		s.approach(now, number)
	case elsewhere, preparing:
	}
}

// yieldAsked answers another process that wants a shard of this node.
func (s *steward) yieldAsked(number uint32, from string) {
	if int(number) >= len(s.shards) {
		return
	}
	x := &s.shards[number]
	if x.state != serving || s.wants(number) {
		s.out = append(s.out, order{kind: sendRefused, shard: number, to: from, owner: x.owner, epoch: x.epoch})
		return
	}
	x.yieldsTo = from
	s.order(orderYield, number)
}

// yielded takes in that an owner is at rest.
func (s *steward) yielded(number uint32, from string) {
	if int(number) < len(s.shards) && s.shards[number].state == asking && s.shards[number].owner == from {
		s.claim(number)
	}
}

// refused takes in that an owner keeps a shard, or has it no more and tells who has.
func (s *steward) refused(now int64, number uint32, from, owner string, epoch uint64) {
	if int(number) >= len(s.shards) {
		return
	}
	x := &s.shards[number]
	asked := x.state == asking && x.owner == from
	switch news := x.learn(owner, epoch); {
	case news && x.state == serving: // it was overtaken, and whoever tells so was told that it owns the shard
		s.order(orderLook, number)
		return
	case !asked:
		return
	case news:
		s.approach(now, number)
		return
	}
	s.lost(now, number, s.wait(x, number))
	s.order(orderAbandon, number)
}
