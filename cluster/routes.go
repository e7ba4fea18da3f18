package cluster

import (
	"errors"
	"sync"

	"github.com/skerryhq/skerry/cluster/transport"
)

// routes is what a node knows of the way to each shard. It is a hint: the log
// decides who owns a shard, and who is asked in vain says where it went. Safe for concurrent use.
type routes struct {
	self string // incarnation

	mu      sync.RWMutex
	table   Table
	members map[string]Member // by incarnation
	byNode  map[string]string // incarnations by name
	owners  []claimed
	changed chan struct{} // closed at each change
}

// claimed is the newest claim of a shard that is known.
type claimed struct {
	owner string
	epoch uint64
}

func newRoutes(self string, shards int) *routes {
	return &routes{self: self, owners: make([]claimed, shards), changed: make(chan struct{})}
}

// see takes in who there is and where shards belong.
func (r *routes) see(v View, t Table) {
	members, byNode := map[string]Member{}, map[string]string{}
	for _, m := range v.Members() {
		members[m.Incarnation], byNode[m.Node] = m, m.Incarnation
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.table, r.members, r.byNode = t, members, byNode
	r.tell()
}

// learn takes in a claim.
func (r *routes) learn(number uint32, owner string, epoch uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if int(number) >= len(r.owners) || epoch <= r.owners[number].epoch {
		return
	}
	r.owners[number] = claimed{owner, epoch}
	r.tell()
}

// denied takes in the answer of the process that was thought to own a shard since epoch. If it says that another owns the shard, and
// has for longer, what was heard of it was wrong, whoever said so.
func (r *routes) denied(number uint32, by string, epoch uint64, answer error) {
	var moved *transport.Moved
	if !errors.As(answer, &moved) || moved.Node == by || moved.Epoch >= epoch {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.owners[number] == (claimed{by, epoch}) {
		r.owners[number] = claimed{}
		r.tell()
	}
}

// tell wakes those that wait for a change. The caller holds mu.
func (r *routes) tell() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// to returns the process that a command of a shard is sent to: its owner, or, if that is not known or gone, who is
// going to own it. changed is closed when there may be a better answer.
func (r *routes) to(number uint32) (peer transport.Peer, epoch uint64, changed <-chan struct{}, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	known := r.owners[number]
	m, ok := r.members[known.owner]
	if !ok {
		m, ok = r.members[r.byNode[r.table.Of(int(number)).Node]]
		known.epoch = 0
	}
	return transport.Peer{Node: m.Incarnation, Address: m.Peer}, known.epoch, r.changed, ok
}

// owner is the newest claim known.
func (r *routes) owner(number uint32) claimed {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.owners[number]
}

// peer is how to reach a member.
func (r *routes) peer(incarnation string) (transport.Peer, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	m, ok := r.members[incarnation]
	return transport.Peer{Node: m.Incarnation, Address: m.Peer}, ok
}

// others are all members but this one.
func (r *routes) others() []transport.Peer {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var peers []transport.Peer
	for _, m := range r.members {
		if m.Incarnation != r.self {
			peers = append(peers, transport.Peer{Node: m.Incarnation, Address: m.Peer})
		}
	}
	return peers
}
