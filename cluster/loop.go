package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// inbox is what happened and was not looked at yet. Putting never blocks: it is done from the shards' goroutines. What
// is put is bounded by the shards and the messages of members.
type inbox struct {
	mu     sync.Mutex
	items  []any
	signal chan struct{}
	closed bool
}

func (i *inbox) init() { i.signal = make(chan struct{}, 1) }

func (i *inbox) put(x any) {
	i.mu.Lock()
	if !i.closed {
		i.items = append(i.items, x)
	}
	i.mu.Unlock()
	i.wake()
}

func (i *inbox) wake() {
	select {
	case i.signal <- struct{}{}:
	default:
	}
}

func (i *inbox) take() (items []any, open bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	items, i.items = i.items, nil
	return items, !i.closed
}

func (i *inbox) close() {
	i.mu.Lock()
	i.closed = true
	i.mu.Unlock()
	i.wake()
}

// Things that happen, beside entity.Ownership and rowsRead.
type (
	leave struct{}
	// answersAt: this node takes the service's callers there.
	answersAt string
	// stored: others can see this node in the journal.
	stored struct{}
	// answered: another member has answered this node.
	answered struct{}
	// journalLost tells whether this node can write to the journal.
	journalLost bool
	// refused: a process's sockets refuse connections. silent: nothing is heard of it.
	refused struct{ incarnation string }
	silent  struct{ incarnation string }
	// note is a message of another node about shards.
	note struct {
		subject, from string
		claims        []*wirev1.Claim
	}
	// ordersChanged: an operator has said something new. ordersRead is what the journal holds of it.
	ordersChanged struct{}
	ordersRead    struct {
		orders orders
		err    error
	}
	// look is a question or a change by another goroutine.
	look func(*decider)
)

// Subjects of messages between nodes.
const (
	subjectOwned   = "skerry/owned"
	subjectYield   = "skerry/yield"
	subjectYielded = "skerry/yielded"
	subjectRefused = "skerry/refused"
	subjectOrders  = "skerry/orders"
	subjectGone    = "skerry/gone"
	subjectClock   = "skerry/clock"
	subjectWatch   = "skerry/watch"
	subjectHeads   = "skerry/heads"
	subjectRecords = "skerry/records"
)

// run is the node's one goroutine that decides.
func (n *Node) run() {
	defer close(n.ended)
	d := newDecider(n.identity, n.self)
	timer := time.NewTimer(0)
	defer timer.Stop()
	n.look(d)
	for {
		select {
		case <-n.gossip.Changed():
			n.look(d)
		case <-n.inbox.signal:
		case <-timer.C:
			d.tick(n.now())
		}
		items, open := n.inbox.take()
		if !open {
			return
		}
		for _, x := range items {
			n.happened(d, x)
		}
		n.obey(d)
		if at := d.wake(); at != 0 {
			timer.Reset(max(time.Duration(at-n.now()), time.Millisecond))
		}
	}
}

// now is a clock that nobody sets.
func (n *Node) now() int64 { return int64(time.Since(n.began)) + 1 }

// inLoop has f look at what the node decides by, or change it, and returns when that is done; with an error
// if the node has stopped or ctx ended before.
func (n *Node) inLoop(ctx context.Context, f func(*decider)) error {
	done := make(chan struct{})
	n.inbox.put(look(func(d *decider) { defer close(done); f(d) }))
	select {
	case <-done:
		return nil
	case <-n.ended:
		return errStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var errStopped = errors.New("cluster: the node has stopped")

// look takes in who is there.
func (n *Node) look(d *decider) {
	known := n.gossip.Membership()
	n.pulse.hear(known.Members)
	n.chronicle.look(known)
	d.membership(n.now(), known)
}

// viewed has all parts know of a new view.
func (n *Node) viewed(v View, t Table) {
	n.log.Info("the cluster has changed", "view", v)
	n.chronicle.viewed(v)
	for _, m := range v.Rivals() {
		n.log.Warn("two nodes have one name: the one that started last has its shards; give each a name of its own", "node", m.Node, "other", m.Incarnation)
	}
	before := n.routes.others()
	n.routes.see(v, t)
	n.forget(before)
	n.feed.look()
}

// forget ends the connections to those that are no members any more. Calls that wait for them go elsewhere at once; a
// process that was only paused or cut off would have them wait until the transport gives up.
func (n *Node) forget(before []transport.Peer) {
	for _, p := range before {
		if _, stays := n.routes.peer(p.Node); !stays {
			n.transport.Disconnect(p.Node)
		}
	}
}

func (n *Node) happened(d *decider, x any) {
	now := n.now()
	switch x := x.(type) {
	case entity.Ownership:
		n.routes.learn(x.Shard, x.Owner, x.Epoch)
		n.chronicle.happened(x)
		d.happened(now, x)
		n.log.Debug("shard", "shard", x.Shard, "state", x.State, "owner", x.Owner, "epoch", x.Epoch, "reason", x.Reason)
	case note:
		if x.subject == subjectGone {
			n.lookForAll(x.claims)
			return
		}
		n.chronicle.noted(x, d.steward)
		n.learn(x)
		d.noted(now, x)
	case rowsRead:
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
		if x.err != nil {
			n.log.Warn("the operators' orders cannot be read; those read last stand", "cause", x.err)
		}
		n.chronicle.ordersRead(x.err)
		d.ordersRead(now, x.orders, x.err)
	case stored:
		d.stored()
	case journalLost:
		d.journalLost(bool(x))
	case answersAt:
		d.answersAt(string(x))
	case leave:
		d.leave()
	case look:
		x(d)
	}
}

// learn takes the way to shards from a message.
func (n *Node) learn(x note) {
	for _, c := range x.claims {
		switch x.subject {
		case subjectOwned:
			n.routes.learn(c.GetShard(), x.from, c.GetEpoch())
		case subjectRefused:
			n.routes.learn(c.GetShard(), c.GetOwner(), c.GetEpoch())
		}
	}
}

// obey does what was decided.
func (n *Node) obey(d *decider) {
	if d.views != n.views {
		n.views = d.views
		n.viewed(d.view, d.steward.table)
	}
	notes := map[mail][]*wirev1.Claim{}
	n.chronicle.decided(d)
	for _, o := range d.take(n.now()) {
		n.chronicle.ordered(o, d.steward)
		switch o.kind {
		case orderAnnounce:
			n.announce(d.self)
		case orderReadRows:
			n.pulse.read(func(r rowsRead) { n.inbox.put(r) })
		case orderReadOrders:
			n.readOrders()
		case orderWatchRing:
			n.watchRing(d.view)
		case orderTellGone:
			n.tellGone(o.to)
		case orderPrepare:
			n.host.Prepare(o.shard)
		case orderClaim:
			n.host.Claim(o.shard)
		case orderAbandon:
			n.host.Abandon(o.shard)
		case orderYield:
			n.host.Yield(o.shard, yieldPause)
		case orderLook:
			n.host.Look(o.shard)
		case sendYield, sendYielded, sendRefused, sendOwned:
			to := mail{subjects[o.kind], o.to}
			notes[to] = append(notes[to], &wirev1.Claim{Shard: o.shard, Owner: o.owner, Epoch: o.epoch})
		}
	}
	for to, claims := range notes {
		n.send(to, claims)
	}
	if !n.isEmpty && d.isFree() {
		n.isEmpty = true
		close(n.empty)
	}
}

// announce tells gossip what this node says of itself.
func (n *Node) announce(self Member) {
	if err := n.gossip.Announce(self); err != nil {
		n.log.Warn("the node cannot tell others how it is", "cause", err)
	}
}

// readOrders reads what operators want. One reading is under way at a time: the decider waits for it.
func (n *Node) readOrders() {
	n.serving.Go(func() {
		ctx, cancel := context.WithTimeout(n.ctx, ordersPatience)
		defer cancel()
		o, err := readOrders(ctx, n.registers, n.identity.Shards)
		if n.ctx.Err() == nil {
			n.inbox.put(ordersRead{o, err})
		}
	})
}

// ordersPatience bounds one reading of the operators' orders.
const ordersPatience = 2 * time.Second

// mail is a message about shards: what it says, and to whom; empty is to all.
type mail struct{ subject, to string }

var subjects = map[orderKind]string{sendYield: subjectYield, sendYielded: subjectYielded, sendRefused: subjectRefused, sendOwned: subjectOwned}

func (n *Node) send(to mail, claims []*wirev1.Claim) {
	payload, err := proto.Marshal(&wirev1.Claims{Claims: claims})
	if err != nil {
		n.log.Error("a message about shards cannot be encoded", "cause", err)
		return
	}
	peers := n.routes.others()
	if to.to != "" {
		peer, ok := n.routes.peer(to.to)
		if !ok {
			return // it has gone meanwhile
		}
		peers = []transport.Peer{peer}
	}
	for _, peer := range peers {
		e := &transport.Envelope{Subject: to.subject, Remaining: notePatience, Request: entity.Request{Payload: payload}}
		n.transport.Send(peer, e, func(a transport.Answer) { n.notTaken(to.subject, peer.Node, claims, a.Err) })
	}
}

// notTaken makes a refusal of a request to yield that was not taken in: the owner has not heard of this node yet, and
// cannot answer it otherwise. An owner that cannot be reached has refused nothing.
func (n *Node) notTaken(subject, by string, claims []*wirev1.Claim, err error) {
	if subject != subjectYield || !errors.Is(err, entity.ErrUnavailable) || errors.Is(err, transport.ErrUnreachable) {
		return
	}
	refusals := make([]*wirev1.Claim, len(claims))
	for i, c := range claims {
		refusals[i] = &wirev1.Claim{Shard: c.GetShard(), Owner: by}
	}
	n.inbox.put(note{subject: subjectRefused, from: by, claims: refusals})
}

// notePatience bounds a message about shards.
const notePatience = time.Second
