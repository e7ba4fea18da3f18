package cluster

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/shardtest"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// simPlace is where one process runs after the other under a node's name.
type simPlace struct {
	s       *sim
	number  int
	node    string
	skew    int64
	drift   float64
	slow    int64 // by how much longer everything takes
	process *simProcess
	starts  int
}

func (s *sim) newPlace(i int) *simPlace {
	x := &simPlace{s: s, number: i, node: fmt.Sprint("n", i), slow: 1}
	skew := s.plan.skew
	if i > 0 { // one clock is wrong, those of the majority are right
		skew = min(skew, 50*time.Millisecond)
	}
	x.skew = int64((s.rng.Float64()*2 - 1) * float64(skew))
	x.drift = (s.rng.Float64()*2 - 1) * s.plan.drift
	return x
}

// mend makes the place well: its process runs, awake.
func (x *simPlace) mend() {
	x.slow = 1
	switch p := x.process; {
	case p == nil || p.dead:
		x.run()
	case p.leaveBy != 0:
		p.wake()
		x.s.awaitEnd(p, x.run)
	default:
		p.wake()
	}
}

// run starts a process where none runs.
func (x *simPlace) run() {
	if x.process == nil || x.process.dead {
		x.process = x.s.newProcess(x)
	}
}

// simProcess is one process of a node: the loop of package cluster's Node around the real machines.
type simProcess struct {
	s           *sim
	place       *simPlace
	number      int
	incarnation string
	self        Member
	began       int64

	dead    bool
	diedAt  int64
	sockets bool // of a dead one: they refuse
	left    bool // it said goodbye
	paused  bool
	backlog []func()

	decider   *decider
	heartbeat *heartbeat
	routes    *routes
	seen      View // that routes know
	gossip    simGossip
	shards    []*simShard
	starts    int // machines so far

	inbox    []any
	planned  bool
	wakeAt   int64
	ticket   uint64
	beats    uint64
	isStored bool
	keys     simKeys
	waiting  []*simOp // that wait for a better way
	ring     map[string]bool
	leaveBy  int64
	claims   []simClaim
}

// simClaim is a claim that landed.
type simClaim struct {
	shard uint32
	at    int64
}

func (s *sim) newProcess(x *simPlace) *simProcess {
	x.starts++
	p := &simProcess{s: s, place: x, number: len(s.processes), incarnation: fmt.Sprintf("%s-%d", x.node, x.starts), began: s.now}
	p.self = Member{
		Node: x.node, Incarnation: p.incarnation, Peer: x.node, Weight: s.plan.weights[x.number], StartedMillis: p.wall() / 1e6,
	}
	if s.plan.versions {
		p.self.Version = fmt.Sprintf("1.%d.0", x.starts)
	}
	id := Identity{Cluster: "sim", Shards: s.plan.shards}
	p.decider, p.heartbeat = newDecider(id, p.self), newHeartbeat(p.self)
	p.routes, p.shards = newRoutes(p.incarnation, s.plan.shards), make([]*simShard, s.plan.shards)
	p.keys = simKeys{client: byte(p.number + 1), open: make([][]uint64, s.plan.entities)}
	s.processes = append(s.processes, p)
	s.counts["processes"]++
	s.log("%s starts, skew %v, weight %d", p.incarnation, time.Duration(x.skew), p.self.Weight)
	p.gossip.start(p)
	p.look()
	p.beat()
	return p
}

// wall is the process's clock as entity.Host has it, mono the one that nobody sets, as the loop has it.
func (p *simProcess) wall() int64 { return p.s.now + p.place.skew + p.drifted(p.s.now-simBegin) }
func (p *simProcess) mono() int64 { return p.s.now - p.began + p.drifted(p.s.now-p.began) + 1 }

func (p *simProcess) drifted(d int64) int64 { return int64(float64(d) * p.place.drift) }

// untilWall and untilMono are how long it is until a clock shows a time.
func (p *simProcess) untilWall(at int64) int64 {
	return int64(float64(at-p.wall()) / (1 + p.place.drift))
}

func (p *simProcess) untilMono(at int64) int64 {
	return int64(float64(at-p.mono()) / (1 + p.place.drift))
}

// takes draws how long something takes here.
func (p *simProcess) takes(mean time.Duration) int64 { return p.s.pause(mean) * p.place.slow }

// after has something happen in this process, when it is awake and if it still lives.
func (p *simProcess) after(d int64, do func()) { p.s.after(d, func() { p.wakeful(do) }) }

func (p *simProcess) wakeful(do func()) {
	switch {
	case p.dead:
	case p.paused:
		p.backlog = append(p.backlog, do)
	default:
		do()
	}
}

func (p *simProcess) pause() {
	p.paused = true
	p.s.counts["pauses"]++
	p.s.log("%s pauses", p.incarnation)
}

// wake lets happen what was due meanwhile, in its order.
func (p *simProcess) wake() {
	if !p.paused || p.dead {
		return
	}
	p.s.log("%s wakes, %d things wait", p.incarnation, len(p.backlog))
	p.paused = false
	backlog := p.backlog
	p.backlog = nil
	p.gossip.woken(p)
	for i, do := range backlog {
		p.after(int64(i+1)*int64(5*time.Microsecond), do)
	}
}

// die ends the process without a word; its sockets refuse from then on, or its whole machine is silent.
func (p *simProcess) die(sockets bool) {
	if p.dead {
		return
	}
	p.s.log("%s dies, sockets refuse: %v", p.incarnation, sockets)
	p.s.counts["deaths"]++
	p.dead, p.diedAt, p.sockets, p.backlog = true, p.s.now, sockets, nil
	p.s.lost(p)
	for _, o := range p.s.ops {
		if o.p == p && o.outcome == simOpen {
			o.abandoned()
		}
	}
}

// leave has the process give its shards away and go.
func (p *simProcess) leave() {
	p.s.log("%s is to leave", p.incarnation)
	p.s.counts["leaves"]++
	p.leaveBy = p.s.now + int64(15*time.Second)
	p.put(leave{})
	p.after(int64(15*time.Second), p.depart)
}

// depart ends a process that is free, or was waited for long enough.
func (p *simProcess) depart() {
	if p.dead {
		return
	}
	if p.decider.isFree() {
		p.s.counts["left free"]++
	}
	p.left = true
	p.gossip.farewell(p)
	p.die(true)
}

// The loop.

// put tells the loop of something that happened.
func (p *simProcess) put(x any) {
	p.inbox = append(p.inbox, x)
	if p.planned {
		return
	}
	p.planned = true
	p.after(p.takes(p.s.plan.loop), func() {
		p.planned = false
		p.turn()
	})
}

// turn is one round of the loop.
func (p *simProcess) turn() {
	if p.dead {
		return
	}
	items := p.inbox
	p.inbox = nil
	for _, x := range items {
		p.happened(x)
	}
	p.obey()
	p.arrange()
	p.wakeOps()
	if !p.dead && p.leaveBy != 0 && p.decider.isFree() {
		p.after(p.takes(p.s.plan.way), p.depart)
	}
}

// looked: gossip has changed.
type looked struct{}

func (p *simProcess) look() { p.put(looked{}) }

func (p *simProcess) happened(x any) {
	now, d := p.mono(), p.decider
	switch x := x.(type) {
	case looked:
		known := p.gossip.membership()
		p.heartbeat.hear(known.Members)
		p.beat()
		d.membership(now, known)
	case entity.Ownership:
		p.routes.learn(x.Shard, x.Owner, x.Epoch)
		d.happened(now, x)
		p.s.bug.hurry(p, x)
	case note:
		if x.subject == subjectGone {
			p.lookFor(x.claims[0].GetOwner())
			return
		}
		p.learn(x)
		d.noted(now, x)
	case rowsRead:
		x.rows = p.s.bug.tamperRows(p, x.rows)
		d.rowsRead(now, x)
	case refused:
		d.refused(now, x.incarnation)
	case answered:
		d.answered()
	case clockRead:
		d.clockRead(x)
	case silent:
		d.silent(now, x.incarnation)
	case ordersChanged:
		d.ordersStale(now)
		d.tick(now)
	case ordersRead:
		d.ordersRead(now, x.orders, x.err)
	case stored:
		d.stored()
	case journalLost:
		p.s.log("%s has lost the journal: %v", p.incarnation, x)
		d.journalLost(bool(x))
	case leave:
		d.leave()
	}
}

func (p *simProcess) learn(x note) {
	for _, c := range x.claims {
		switch x.subject {
		case subjectOwned:
			p.routes.learn(c.GetShard(), x.from, c.GetEpoch())
		case subjectRefused:
			p.routes.learn(c.GetShard(), c.GetOwner(), c.GetEpoch())
		}
	}
}

// obey does what was decided.
func (p *simProcess) obey() {
	d := p.decider
	orders := d.take(p.mono())
	if !d.view.Equal(p.seen) {
		p.seen = d.view
		p.s.log("%s sees %s", p.incarnation, d.view)
		p.routes.see(d.view, d.steward.table)
		p.disconnect()
	}
	for _, o := range orders {
		p.do(o)
	}
}

// disconnect has calls to those that are no members any more end at once.
func (p *simProcess) disconnect() {
	for _, c := range p.s.calls {
		if _, stays := p.routes.peer(c.to.incarnation); c.from == p && !c.over && !stays {
			p.after(1, func() { c.end(errSimLost) })
		}
	}
}

func (p *simProcess) do(o order) {
	s := p.s
	if s.bug.drops != 0 && s.bug.drops == o.kind {
		return
	}
	switch o.kind {
	case orderAnnounce:
		p.self = p.decider.self
		p.gossip.announce(p)
	case orderReadRows:
		s.counts["readings"]++
		s.journal.readRows(p, func(r rowsRead) { p.put(r) })
	case orderReadOrders:
		s.journal.readOrders(p, func(o orders, err error) { p.put(ordersRead{o, err}) })
	case orderWatchRing:
		p.watchRing()
	case orderTellGone:
		p.tellGone(o.to)
	case orderPrepare:
		p.begin(o.shard, (*shardtest.Machine).Prepare)
	case orderClaim:
		p.begin(o.shard, (*shardtest.Machine).Start)
	case orderAbandon:
		p.toShard(o.shard, func(m *shardtest.Machine, now int64) { m.Abandon(now) })
	case orderYield:
		p.toShard(o.shard, func(m *shardtest.Machine, now int64) { m.Yield(now, now+int64(yieldPause)) })
	case orderLook:
		p.toShard(o.shard, (*shardtest.Machine).Look)
	case sendYield, sendYielded, sendRefused, sendOwned:
		p.tellNote(o)
	}
}

// tellNote sends a message about a shard: to a member, or to all.
func (p *simProcess) tellNote(o order) {
	x := note{subject: subjects[o.kind], from: p.incarnation, claims: []*wirev1.Claim{{Shard: o.shard, Owner: o.owner, Epoch: o.epoch}}}
	var peers []transport.Peer
	if o.to == "" {
		peers = p.others()
	} else if peer, ok := p.routes.peer(o.to); ok {
		peers = append(peers, peer)
	}
	for _, peer := range peers {
		p.s.log("%s -> %s: %s of shard %d, epoch %d", p.incarnation, peer.Node, x.subject, o.shard, o.epoch)
		p.sendNote(peer, x)
	}
}

func (p *simProcess) sendNote(to transport.Peer, x note) {
	p.send(to, simEnvelope{note: &x, remaining: notePatience}, func(transport.Answer) {})
}

// watchRing keeps connections to the members of the ring: see ring.go.
func (p *simProcess) watchRing() {
	p.ring = map[string]bool{}
	for _, m := range ring(p.decider.view.members, p.incarnation) {
		p.ring[m.Incarnation] = true
		p.askClock(transport.Peer{Node: m.Incarnation, Address: m.Peer})
	}
}

// askClock reads a member's clock, as Node.askClock does.
func (p *simProcess) askClock(peer transport.Peer) {
	asked := p.mono()
	ask := note{subject: subjectClock, from: p.incarnation}
	p.send(peer, simEnvelope{note: &ask, remaining: ringPatience}, func(a transport.Answer) {
		trip := p.mono() - asked
		if a.Err != nil || a.Response == nil || time.Duration(trip) > clockTrip {
			return
		}
		theirs := int64(binary.BigEndian.Uint64(a.Response.Payload)) //nolint:gosec // as it was put in
		p.put(answered{})
		p.put(clockRead{peer.Node, time.Duration(theirs - p.wall() + trip/2)})
	})
}

// simPing is a note that nobody acts on.
const simPing = "ping"

func (p *simProcess) lookFor(incarnation string) {
	if peer, ok := p.routes.peer(incarnation); ok && incarnation != p.incarnation {
		p.sendNote(peer, note{subject: simPing, from: p.incarnation})
	}
}

func (p *simProcess) tellGone(incarnation string) {
	if !p.ring[incarnation] {
		return
	}
	for _, peer := range p.others() {
		p.sendNote(peer, note{subject: subjectGone, from: p.incarnation, claims: []*wirev1.Claim{{Owner: incarnation}}})
	}
}

// others are in an order that replays.
func (p *simProcess) others() []transport.Peer {
	peers := p.routes.others()
	slices.SortFunc(peers, func(a, b transport.Peer) int { return compareText(a.Node, b.Node) })
	return peers
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// arrange plans the next tick.
func (p *simProcess) arrange() {
	at := p.decider.wake()
	if at == 0 || p.wakeAt != 0 && p.wakeAt <= at {
		return
	}
	p.wakeAt = at
	p.ticket++
	ticket := p.ticket
	p.after(max(p.untilMono(at), int64(time.Millisecond)), func() {
		if ticket == p.ticket {
			p.wakeAt = 0
			p.decider.tick(p.mono())
			p.turn()
		}
	})
}

// beat puts this process's row for as long as it lives, as the pulse does.
func (p *simProcess) beat() {
	h := p.heartbeat
	at, due := h.due()
	if !due || p.dead {
		return
	}
	p.beats++
	if wait := p.untilMono(at); wait > 0 {
		ticket := p.beats
		p.after(wait, func() {
			if ticket == p.beats {
				p.beat()
			}
		})
		return
	}
	was := h.journalLost()
	p.s.journal.putRow(p, h.begin(p.mono()), func(err error) {
		h.end(p.mono(), err)
		if err == nil && !p.isStored {
			p.isStored = true
			p.put(stored{})
		}
		if lost := h.journalLost(); lost != was {
			p.put(journalLost(lost))
		}
		p.beat()
	})
}
