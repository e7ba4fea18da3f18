package cluster_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerryhq/skerry/cluster/gossip"
	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/journal"
)

// assembly is a cluster of real nodes on fake time, with the journal, the two networks and the callers that a plan
// disturbs. It lives in one bubble of testing/synctest.
type assembly struct {
	plan     plan
	defects  defects
	trace    *trace
	history  *history
	journal  *journal.Memory
	wires    *links
	slots    []*slot
	late     sync.WaitGroup // writes on their way
	faults   sync.WaitGroup
	stopping atomic.Bool

	ctx    context.Context //nolint:containedctx // the life of the cluster
	cancel context.CancelFunc
	// calling ends before ctx: callers end what they have begun, and begin no more.
	calling context.Context //nolint:containedctx // as above
	hush    context.CancelFunc

	mu         sync.Mutex
	away       map[int]int // outages by slot; hanging counts those in which calls hang
	hanging    map[int]int
	sick       []int             // percents
	slow       map[int][]int     // milliseconds, by slot
	ill        map[int]time.Time // see illUntil
	complaints []string
}

// slot is a name of a node, its addresses, and the process that has them now.
type slot struct {
	number int
	name   string
	place  atomic.Pointer[place]
	starts atomic.Int64

	// life is held by who starts or ends the process. It is no mutex: who waits for one stops fake time.
	life chan struct{}
	now  atomic.Pointer[process]
}

// place is where a process listens.
type place struct{ gossip, peer string }

// elsewhere is a place where no process of the slot was before.
func (s *slot) elsewhere() *place {
	host := fmt.Sprintf("10.0.%d.%d", s.starts.Load(), s.number+1)
	return &place{gossip: host + ":7946", peer: host + ":7947"}
}

func newAssembly(p plan, d defects) *assembly {
	a := &assembly{
		plan: p, defects: d, trace: newTrace(), history: newHistory(), journal: journal.NewMemory(),
		away: map[int]int{}, hanging: map[int]int{}, slow: map[int][]int{}, ill: map[int]time.Time{},
	}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.calling, a.hush = context.WithCancel(a.ctx)
	a.wires = newLinks(p.WayTakes)
	for i := range p.Slots {
		s := &slot{number: i, name: fmt.Sprint("n", i+1), life: make(chan struct{}, 1)}
		s.place.Store(s.elsewhere())
		a.slots = append(a.slots, s)
	}
	return a
}

// complain notes what must not be. The run goes on, so that more is seen of it.
func (a *assembly) complain(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	a.trace.note("COMPLAINT: %s", what)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.complaints = append(a.complaints, what)
}

// running are the processes that run.
func (a *assembly) running() []*process {
	var all []*process
	for _, s := range a.slots {
		if p := s.now.Load(); p != nil {
			all = append(all, p)
		}
	}
	return all
}

// anyRunning picks a process, or returns nil.
func (a *assembly) anyRunning() *process {
	all := a.running()
	if len(all) == 0 {
		return nil
	}
	return all[rand.IntN(len(all))]
}

// illUntil notes until when calls through a node may fail.
func (a *assembly) illUntil(s *slot, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ill[s.number] = at
}

// isWell tells that a call through a process which has just ended has to be answered, if it had the time.
func (a *assembly) isWell(p *process) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !p.leaving.Load() && p.ctx.Err() == nil && time.Now().After(a.ill[p.slot.number])
}

// journalTakes is how long a call may take.
func (a *assembly) journalTakes(slot int) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	takes := a.plan.JournalTakes
	for _, ms := range a.slow[slot] {
		takes = max(takes, time.Duration(ms)*time.Millisecond)
	}
	return takes
}

// isAway tells whether the journal is out of a node's reach, and whether calls hang.
func (a *assembly) isAway(slot int) (away, hangs bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.away[slot] > 0, a.hanging[slot] > 0
}

func (a *assembly) setAway(slots []int, hangs bool, by int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range slots {
		a.away[s] += by
		if hangs {
			a.hanging[s] += by
		}
	}
}

// fate of a write.
type fateOfWrite uint8

const (
	writeDone fateOfWrite = iota
	writeLost
	writeForgotten
	writeLate
)

// readFails draws whether a reading fails.
func (a *assembly) readFails() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, percent := range a.sick {
		if rand.IntN(200) < percent {
			return true
		}
	}
	return false
}

// fateOfWrite draws what becomes of a write.
func (a *assembly) fateOfWrite() fateOfWrite {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, percent := range a.sick {
		if rand.IntN(100) < percent {
			return writeLost + fateOfWrite(rand.IntN(3))
		}
	}
	if len(a.sick) == 0 && a.stopping.Load() {
		return writeDone
	}
	n := rand.IntN(100)
	for i, percent := range []int{a.plan.Lost, a.plan.Forgotten, a.plan.Late} {
		if n < percent {
			return writeLost + fateOfWrite(i)
		}
		n -= percent
	}
	return writeDone
}

// links are the two networks between the nodes: gossip's and that of envelopes. Faults may overlap: what two have
// cut is whole again when both are over.
type links struct {
	gossip *gossip.Network
	peers  *transport.Memory
	takes  time.Duration

	mu   sync.Mutex
	cuts map[way]int
	loss []int // percents
}

// way is one direction on one of the networks.
type way struct {
	peers    bool
	from, to string
}

func newLinks(takes time.Duration) *links {
	l := &links{peers: transport.NewMemory(), takes: takes, cuts: map[way]int{}}
	l.gossip = gossip.NewNetwork(func(string, string) (time.Duration, bool) { return l.delay(), !l.isLost() })
	l.peers.Delay(func(string, string) time.Duration { return l.delay() })
	l.peers.Lose(func(string, string) bool { return l.isLost() })
	return l
}

func (l *links) delay() time.Duration { return rand.N(l.takes) }

func (l *links) isLost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, percent := range l.loss {
		if rand.IntN(100) < percent {
			return true
		}
	}
	return false
}

// lose begins or ends a loss.
func (l *links) lose(percent int, begin bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loss = changed(l.loss, percent, begin)
}

// changed is a list with x added, or without one x.
func changed(list []int, x int, add bool) []int {
	if add {
		return append(list[:len(list):len(list)], x)
	}
	for i, y := range list {
		if x == y {
			return append(list[:i:i], list[i+1:]...)
		}
	}
	return list
}

// cut cuts ways, or undoes one cut of each.
func (l *links) cut(ways []way, begin bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range ways {
		by := 1
		if !begin {
			by = -1
		}
		was := l.cuts[w]
		l.cuts[w] += by
		if is := l.cuts[w]; (was > 0) != (is > 0) {
			l.set(w, is > 0)
		}
	}
}

func (l *links) set(w way, cut bool) {
	switch {
	case w.peers && cut:
		l.peers.Cut(w.from, w.to)
	case w.peers:
		l.peers.Heal(w.from, w.to)
	case cut:
		l.gossip.Cut(w.from, w.to)
	default:
		l.gossip.Mend(w.from, w.to)
	}
}

// ways leads from some slots to others, on the networks chosen.
func ways(from, to []*slot, onGossip, onPeers bool) []way {
	var all []way
	for _, a := range from {
		for _, b := range to {
			if a == b {
				continue
			}
			here, there := a.place.Load(), b.place.Load()
			if onGossip {
				all = append(all, way{false, here.gossip, there.gossip})
			}
			if onPeers {
				all = append(all, way{true, here.peer, there.peer})
			}
		}
	}
	return all
}

// apart leads both ways.
func apart(a, b []*slot, onGossip, onPeers bool) []way {
	return append(ways(a, b, onGossip, onPeers), ways(b, a, onGossip, onPeers)...)
}
