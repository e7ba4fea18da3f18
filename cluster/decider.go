package cluster

import (
	"maps"
	"slices"
	"time"

	"github.com/skerryhq/skerry/entity"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// decider is all that a node decides about members and shards, as one pure machine: what gossip, the journal, the
// shards and other nodes tell goes in with the time, orders come out. The witness says who lives, Place says
// where shards belong, the steward brings them there. For one caller at a time; times are nanoseconds of any one clock
// of this node.
type decider struct {
	identity Identity
	self     Member // as gossip is to tell it
	known    Membership
	pins     []Pin
	drains   []string

	witness *witness
	steward *steward
	view    View
	views   int // how many there were

	// refusing are processes whose sockets refuse connections, and until when that is believed of one that gossip
	// still takes for alive. doubted refused as well and live nevertheless.
	refusing map[string]int64
	doubted  map[string]int64

	clocks   clocks
	isStored bool  // others can see our row in the journal
	hasMet   bool  // another member has answered us
	ringAt   int64 // when the members of the ring are looked for next
	ordersAt int64 // when the operators' orders are read next
	reading  bool  // they are being read
	out      []order
}

const (
	// meetPause is the time between two looks for others until one has answered.
	meetPause = time.Second
	// ordersPause is the time from one reading of the operators' orders to the next. A verb has all members read
	// them at once; this finds what was told in vain.
	ordersPause = 5 * time.Second
	// refusedFor is how long a refused connection stands against gossip, which needs about this long.
	refusedFor = 4 * time.Second
	// doubtFor is how long a refusal of a process counts nothing that was found alive after one: something between
	// the nodes refuses in its name.
	doubtFor = time.Minute
)

func newDecider(id Identity, self Member) *decider {
	d := &decider{
		identity: id, self: self, witness: newWitness(self),
		refusing: map[string]int64{}, doubted: map[string]int64{},
	}
	d.view = NewView(id)
	d.steward = newSteward(self, id.Shards, d.fate)
	d.steward.quiet = d.witness.suspected
	return d
}

// take returns what is to be done, and forgets it.
func (d *decider) take(now int64) []order {
	d.steward.goOn(now)
	out := append(d.out, d.steward.orders()...)
	d.out = nil
	return out
}

// fate tells what became of a process.
func (d *decider) fate(incarnation string) fate {
	if d.isRefusing(incarnation) {
		return gone
	}
	return d.witness.fate(incarnation)
}

// membership takes in what gossip knows.
func (d *decider) membership(now int64, m Membership) {
	d.known = m
	judged := d.witness.see(now, m)
	kept := map[string]bool{}
	for _, x := range slices.Concat(m.Members, m.Lost) {
		kept[x.Incarnation] = true
	}
	maps.DeleteFunc(d.refusing, func(incarnation string, _ int64) bool { return !kept[incarnation] })
	maps.DeleteFunc(d.doubted, func(_ string, until int64) bool { return until <= now })
	d.review(now)
	d.becomeReady() // those that were ready may have gone
	if judged {
		d.steward.judged(now)
	}
}

// review makes the view anew and has the steward act on it.
func (d *decider) review(now int64) {
	members := slices.DeleteFunc(slices.Clone(d.known.Members), func(m Member) bool { return d.isRefusing(m.Incarnation) })
	v := NewView(d.identity).WithMembers(members).WithOrders(d.pins, d.drains)
	if v.Equal(d.view) {
		d.steward.tick(now)
		return
	}
	d.view = v
	d.views++
	d.fewerClocks()
	d.ringAt = now
	d.steward.see(now, v)
}

// refused takes in that a process's sockets refuse connections: it has ended. Gossip finds that out seconds later. Something
// else may refuse in its name, so nothing depends on it but time: who takes its shards and is fenced by it doubts.
func (d *decider) refused(now int64, incarnation string) {
	if incarnation == d.self.Incarnation || d.doubted[incarnation] > now || !d.isKnown(incarnation) {
		return
	}
	d.witness.suspect(now, incarnation)
	if !d.isRefusing(incarnation) {
		d.out = append(d.out, order{kind: orderTellGone, to: incarnation})
	}
	d.refusing[incarnation] = now + int64(refusedFor)
	d.review(now)
}

func (d *decider) isRefusing(incarnation string) bool {
	_, refuses := d.refusing[incarnation]
	return refuses
}

func (d *decider) isKnown(incarnation string) bool {
	return slices.ContainsFunc(slices.Concat(d.known.Members, d.known.Lost), func(m Member) bool { return m.Incarnation == incarnation })
}

// silent takes in that nothing is heard of a process: its row is looked at before gossip has lost it.
func (d *decider) silent(now int64, incarnation string) { d.witness.suspect(now, incarnation) }

// lives takes in that a process wrote to a log just now.
func (d *decider) lives(now int64, incarnation string) {
	if d.isRefusing(incarnation) {
		delete(d.refusing, incarnation)
		d.doubted[incarnation] = now + int64(doubtFor)
		d.review(now)
	}
	d.witness.lives(now, incarnation)
}

// stored takes in that others can see this node's row in the journal. Before that it must not claim.
func (d *decider) stored() {
	d.isStored = true
	d.becomeReady()
}

// answered takes in that another member answered this node.
func (d *decider) answered() {
	d.hasMet = true
	d.becomeReady()
}

// becomeReady lets this node have shards when others can see its row and reach it. One that no other can talk
// to, for its certificate is another authority's or a port is closed, would own shards that nobody reaches.
func (d *decider) becomeReady() {
	if !d.self.Ready && d.isStored && (d.hasMet || !d.othersAreReady()) {
		d.self.Ready = true
		d.announce()
	}
}

func (d *decider) othersAreReady() bool {
	return slices.ContainsFunc(d.view.members, func(m Member) bool { return m.Incarnation != d.self.Incarnation && m.Ready })
}

// journalLost takes in whether this node can write to the journal.
func (d *decider) journalLost(lost bool) {
	if d.self.JournalLost != lost {
		d.self.JournalLost = lost
		d.announce()
	}
}

// answersAt takes in where this node answers the service's callers.
func (d *decider) answersAt(api string) {
	if d.self.API != api {
		d.self.API = api
		d.announce()
	}
}

// leave has this node's shards taken by others.
func (d *decider) leave() {
	if !d.self.Leaving {
		d.self.Leaving = true
		d.announce()
	}
}

func (d *decider) announce() { d.out = append(d.out, order{kind: orderAnnounce}) }

// isFree tells that a node which leaves has nothing left to give, or nobody to give it to.
func (d *decider) isFree() bool {
	seen, _ := d.view.Member(d.self.Node)
	if !d.self.Leaving || seen.Incarnation == d.self.Incarnation && !seen.Leaving {
		return false // where its shards belong is not known before gossip has taken it in
	}
	heir := false
	for i := range d.steward.shards {
		to := d.steward.table.Of(i).Node
		heir = heir || to != "" && to != d.self.Node
	}
	return !heir || !slices.ContainsFunc(d.steward.shards, func(x stewarded) bool { return x.state == serving || x.state == claiming })
}

// happened takes in what the host tells of a shard.
func (d *decider) happened(now int64, o entity.Ownership) {
	if o.State == entity.Fenced {
		d.lives(now, o.Owner)
	}
	d.steward.happened(now, o)
}

// noted takes in a message of another node about shards.
func (d *decider) noted(now int64, x note) {
	for _, c := range x.claims {
		d.notedOf(now, x, c)
	}
}

func (d *decider) notedOf(now int64, x note, c *wirev1.Claim) {
	s, number := d.steward, c.GetShard()
	switch x.subject {
	case subjectOwned:
		s.owned(now, number, x.from, c.GetEpoch())
	case subjectYield:
		s.yieldAsked(number, x.from)
	case subjectYielded:
		s.yielded(number, x.from)
	case subjectRefused:
		s.refused(now, number, x.from, c.GetOwner(), c.GetEpoch())
	}
}

// ordersStale has the operators' orders read: somebody has changed them.
func (d *decider) ordersStale(now int64) { d.ordersAt = now }

// ordersRead takes in what operators want. After a reading that failed nothing is new.
func (d *decider) ordersRead(now int64, o orders, err error) {
	d.reading = false
	if err != nil {
		return
	}
	d.pins, d.drains = o.pins, o.drains
	d.review(now)
}

// rowsRead takes in the witness rows that were asked for.
func (d *decider) rowsRead(now int64, r rowsRead) {
	changed := false
	if r.err != nil {
		changed = d.witness.readFailed(now)
	} else {
		changed = d.witness.read(now, r.rows)
	}
	if changed {
		d.steward.judged(now)
	}
}

// tick begins what is due.
func (d *decider) tick(now int64) {
	before := len(d.refusing)
	maps.DeleteFunc(d.refusing, func(incarnation string, until int64) bool {
		return until <= now && d.witness.members[incarnation] // gossip still thinks that it lives
	})
	if len(d.refusing) != before {
		d.review(now)
	}
	d.steward.tick(now)
	if at, due := d.witness.due(); due && at <= now {
		d.witness.begin(now)
		d.out = append(d.out, order{kind: orderReadRows})
	}
	if d.ringAt <= now {
		d.ringAt = now + int64(ringPause)
		if !d.hasMet {
			d.ringAt = now + int64(meetPause)
		}
		d.out = append(d.out, order{kind: orderWatchRing})
	}
	if !d.reading && d.ordersAt <= now {
		d.ordersAt, d.reading = now+int64(ordersPause), true
		d.out = append(d.out, order{kind: orderReadOrders})
	}
}

// wake is when tick is to be called next, if nothing else happens before.
func (d *decider) wake() int64 {
	at := d.ringAt
	if !d.reading {
		at = earlier(at, d.ordersAt)
	}
	if due, ok := d.witness.due(); ok {
		at = earlier(at, due)
	}
	for incarnation, until := range d.refusing {
		if d.witness.members[incarnation] {
			at = earlier(at, until)
		}
	}
	return earlier(at, d.steward.wake())
}

// earlier takes 0 for never.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
