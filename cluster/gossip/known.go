package gossip

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/skerryhq/skerry/cluster"
)

// known is what memberlist has told so far. Its lock is held only to look and to note.
type known struct {
	identity cluster.Identity
	wire     versions
	most     int
	changed  chan struct{} // holds one signal

	mu      sync.Mutex
	self    cluster.Member
	encoded []byte
	members map[string]contact // by incarnation
	lost    []contact          // oldest first, maxLost at most
}

// contact is a process and where its gossip is reached.
type contact struct {
	cluster.Member
	address string
	lostAt  time.Time
}

const (
	// maxLost bounds the lost processes that are remembered.
	maxLost = 64
	// forgetAfter is how long a lost process is tried again.
	forgetAfter = time.Hour
)

func newKnown(c Config, meta []byte) *known {
	return &known{
		identity: c.Identity, wire: c.wire, most: c.MaxMembers,
		changed: make(chan struct{}, 1),
		self:    c.Self, encoded: meta,
		members: map[string]contact{},
	}
}

func (k *known) meta() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.encoded
}

// say replaces what this process says of itself.
func (k *known) say(self cluster.Member, meta []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.self, k.encoded = self, meta
}

func (k *known) own() cluster.Member {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.self
}

func (k *known) roomFor(incarnation string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, here := k.members[incarnation]
	return here || len(k.members) < k.most
}

func (k *known) alive(n *memberlist.Node) {
	_, m, err := decodeMeta(n.Name, n.Meta)
	if err != nil {
		return // NotifyAlive refused it before
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	c := contact{Member: m, address: n.Address()}
	k.members[n.Name] = c
	k.lost = slices.DeleteFunc(k.lost, func(l contact) bool {
		return l.Incarnation == c.Incarnation || l.Node == c.Node && l.address == c.address
	})
	k.signal()
}

// gone notes a process that left or stopped answering. One that had said it is
// leaving, or whose address a later process has, is not lost: nobody needs to ask for it.
func (k *known) gone(incarnation string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c, here := k.members[incarnation]
	if !here {
		return
	}
	if !c.Leaving && !k.replaced(c) && incarnation != k.self.Incarnation {
		c.lostAt = time.Now()
		k.lost = append(k.lost, c)
		k.lost = k.lost[max(0, len(k.lost)-maxLost):]
	}
	delete(k.members, incarnation)
	k.signal()
}

// leaving takes a process that said it is leaving off the list of the lost.
func (k *known) leaving(n *memberlist.Node) {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.IndexFunc(k.lost, func(l contact) bool { return l.Incarnation == n.Name })
	if i < 0 {
		return
	}
	if _, m, err := decodeMeta(n.Name, n.Meta); err == nil && m.Leaving {
		k.lost = slices.Delete(k.lost, i, i+1)
		k.signal()
	}
}

// replaced tells that a process which started later has the address: so it has ended, though
// memberlist has not missed it yet.
func (k *known) replaced(c contact) bool {
	for _, other := range k.members {
		if other.address == c.address && later(other.Member, c.Member) {
			return true
		}
	}
	return false
}

func later(a, b cluster.Member) bool {
	return cmp.Or(cmp.Compare(a.StartedMillis, b.StartedMillis), cmp.Compare(a.Incarnation, b.Incarnation)) > 0
}

func (k *known) membership() cluster.Membership {
	k.mu.Lock()
	defer k.mu.Unlock()
	newest := map[string]contact{} // by address
	for _, c := range k.members {
		if other, taken := newest[c.address]; !taken || later(c.Member, other.Member) {
			newest[c.address] = c
		}
	}
	var now cluster.Membership
	for _, c := range newest {
		now.Members = append(now.Members, c.Member)
	}
	slices.SortFunc(now.Members, func(a, b cluster.Member) int { return cmp.Compare(a.Incarnation, b.Incarnation) })
	for _, c := range k.lost {
		now.Lost = append(now.Lost, c.Member)
	}
	return now
}

// addresses lists where members are, and where lost ones were that may come back.
func (k *known) addresses() (here map[string]bool, lost []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	here = map[string]bool{}
	for _, c := range k.members {
		here[c.address] = true
	}
	for _, c := range k.lost {
		if time.Since(c.lostAt) < forgetAfter {
			lost = append(lost, c.address)
		}
	}
	return here, lost
}

// signal never waits: signals that nobody took yet are one.
func (k *known) signal() {
	select {
	case k.changed <- struct{}{}:
	default:
	}
}
