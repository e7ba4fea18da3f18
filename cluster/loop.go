package cluster

import (
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

// Things that happen, beside entity.Ownership.
type (
	leave struct{}
	// watched: a reader on this node follows the logs of all shards.
	watched struct{}
	// note is a message of another node about shards.
	note struct {
		subject, from string
		claims        []*wirev1.Claim
	}
)

// Subjects of messages between nodes.
const (
	subjectOwned   = "skerry/owned"
	subjectYield   = "skerry/yield"
	subjectYielded = "skerry/yielded"
	subjectRefused = "skerry/refused"
	subjectWatch   = "skerry/watch"
	subjectHeads   = "skerry/heads"
	subjectRecords = "skerry/records"
)

// run is the node's one goroutine that decides.
func (n *Node) run() {
	defer close(n.ended)
	s := newSteward(n.self, n.identity.Shards, n.fate)
	timer := time.NewTimer(0)
	defer timer.Stop()
	n.look(s)
	for {
		select {
		case <-n.gossip.Changed():
			n.look(s)
		case <-n.inbox.signal:
		case <-timer.C:
			s.tick(n.now())
		}
		items, open := n.inbox.take()
		if !open {
			return
		}
		for _, x := range items {
			n.happened(s, x)
		}
		n.obey(s)
		if at := s.wake(); at != 0 {
			timer.Reset(max(time.Duration(at-n.now()), time.Millisecond))
		}
		n.noticeEmpty(s)
	}
}

func (n *Node) now() int64 { return time.Now().UnixNano() }

// look takes in who is there.
func (n *Node) look(s *steward) {
	known := n.gossip.Membership()
	v := NewView(n.identity).WithMembers(known.Members)
	if !v.Equal(s.view) {
		n.log.Info("the cluster has changed", "view", v)
	}
	t := Place(v)
	n.routes.see(v, t)
	s.see(n.now(), v)
	n.followers.keep(n)
	n.watchOthers(v)
}

// fate tells what became of a process.
func (n *Node) fate(incarnation string) fate {
	if _, ok := n.routes.peer(incarnation); ok {
		return present
	}
	return gone
}

func (n *Node) happened(s *steward, x any) {
	now := n.now()
	switch x := x.(type) {
	case entity.Ownership:
		n.routes.learn(x.Shard, x.Owner, x.Epoch)
		s.happened(now, x)
		n.log.Debug("shard", "shard", x.Shard, "state", x.State, "owner", x.Owner, "epoch", x.Epoch, "reason", x.Reason)
	case note:
		n.noted(s, now, x)
	case watched:
		n.watches = true
		n.watchOthers(s.view)
	case leave:
		n.self.Leaving = true
		if err := n.gossip.Announce(n.self); err != nil {
			n.log.Warn("the node cannot say that it leaves", "cause", err)
		}
		n.leaving = true
	}
}

func (n *Node) noted(s *steward, now int64, x note) {
	for _, c := range x.claims {
		number := c.GetShard()
		switch x.subject {
		case subjectOwned:
			n.routes.learn(number, x.from, c.GetEpoch())
			s.owned(now, number, x.from, c.GetEpoch())
		case subjectYield:
			s.yieldAsked(number, x.from)
		case subjectYielded:
			s.yielded(number, x.from)
		case subjectRefused:
			n.routes.learn(number, c.GetOwner(), c.GetEpoch())
			s.refused(now, number, x.from, c.GetOwner(), c.GetEpoch())
		}
	}
}

// obey does what the steward wants.
func (n *Node) obey(s *steward) {
	notes := map[mail][]*wirev1.Claim{}
	for _, o := range s.orders() {
		switch o.kind {
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
}

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
		n.transport.Send(peer, e, func(transport.Answer) {})
	}
}

// watchOthers asks those that were not asked yet to tell how far their shards come.
func (n *Node) watchOthers(v View) {
	if !n.watches {
		return
	}
	asked := map[string]bool{}
	for _, m := range v.Members() {
		if asked[m.Incarnation] = true; m.Incarnation != n.self.Incarnation && !n.asked[m.Incarnation] {
			n.send(mail{subjectWatch, m.Incarnation}, nil)
		}
	}
	n.asked = asked
}

// notePatience bounds a message about shards.
const notePatience = time.Second

// noticeEmpty tells Stop when a node that leaves has given everything away.
func (n *Node) noticeEmpty(s *steward) {
	if !n.leaving || n.isEmpty {
		return
	}
	others := 0
	for _, m := range s.view.Members() {
		if m.Incarnation != n.self.Incarnation && m.Ready && !m.Leaving && m.Weight > 0 {
			others++
		}
	}
	for i := range s.shards {
		if x := &s.shards[i]; others > 0 && (x.state == serving || x.state == claiming) {
			return
		}
	}
	n.isEmpty = true
	close(n.empty)
}
