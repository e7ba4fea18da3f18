package entity

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestTheShardThatWaitsLongestIsNext(t *testing.T) {
	t.Parallel()
	s := newSlots(2)
	var shards [5]shardActor
	for i := range shards {
		if got, want := s.take(&shards[i], time.Time{}), i < 2; got != want {
			t.Fatalf("shard %d takes a slot: %v", i, got)
		}
	}
	for i := 2; i < len(shards); i++ {
		next := s.release(replies{}, time.Time{})
		if len(next) != 1 || next[0] != &shards[i] {
			t.Fatalf("after a slot came free: %v, want shard %d", next, i)
		}
	}
	if next := s.release(replies{}, time.Time{}); len(next) != 0 {
		t.Fatalf("nobody waits, but %v may go on", next)
	}
	if !s.take(&shards[0], time.Time{}) || s.take(&shards[1], time.Time{}) {
		t.Fatal("one of the two slots was free")
	}
}

// Under saturation the queue never runs empty.
func TestTheQueueOfShardsStaysShort(t *testing.T) {
	t.Parallel()
	s := newSlots(2)
	var shards [8]shardActor
	for i := range shards {
		s.take(&shards[i], time.Time{})
	}
	for n := range 10_000 {
		next := s.release(replies{}, time.Time{})
		if want := &shards[(n+2)%len(shards)]; len(next) != 1 || next[0] != want {
			t.Fatalf("after append %d: %v may go on, want the shard that waits longest", n, next)
		}
		s.take(&shards[n%len(shards)], time.Time{})
		if most := 2 * len(shards); len(s.waiting) > most || cap(s.waiting) > 2*most {
			t.Fatalf("after append %d: of %d shards the queue holds %d, with room for %d", n, len(shards), len(s.waiting), cap(s.waiting))
		}
	}
}

// appending is how long an append takes with that many under way, itself included.
type appending func(underway int) time.Duration

// always is a store that bears any number of appends.
func always(d time.Duration) appending { return func(int) time.Duration { return d } }

// serial is a store that does one append after the other, and thrashes when there are more than 8: it takes d for each of 64.
func serial(d time.Duration) appending {
	return func(n int) time.Duration { return time.Duration(n*max(n, 8)) * d / 64 / 64 }
}

// node is shards with callers who wait for their answers, in virtual time: each shard appends all the time.
type node struct {
	*slots
	now     time.Time
	rng     *rand.Rand
	takes   appending
	callers int // of each shard
	shards  []*busyShard
	byActor map[*shardActor]*busyShard
	// sick makes the callers of one in so many appends wait that much longer.
	sick    int
	sickFor time.Duration
}

type busyShard struct {
	shardActor
	asked, ends time.Time // ends is zero while it waits
	answered    replies
}

func newNode(s *slots, shards int, takes appending) *node {
	n := &node{slots: s, now: time.Unix(1000, 0), rng: rand.New(rand.NewPCG(1, 0)), takes: takes, callers: 16, byActor: map[*shardActor]*busyShard{}}
	for range shards {
		b := new(busyShard)
		n.shards, n.byActor[&b.shardActor] = append(n.shards, b), b
	}
	return n
}

// run lets the shards append for some time and returns how many appends ended.
func (n *node) run(length time.Duration) int {
	for _, b := range n.shards {
		if b.asked.IsZero() {
			n.ask(b)
		}
	}
	ended := 0
	for stop := n.now.Add(length); n.now.Before(stop); ended++ {
		n.end(n.next())
	}
	return ended
}

func (n *node) next() (first *busyShard) {
	for _, b := range n.shards {
		if !b.ends.IsZero() && (first == nil || b.ends.Before(first.ends)) {
			first = b
		}
	}
	return first
}

func (n *node) ask(b *busyShard) {
	if b.asked = n.now; n.take(&b.shardActor, n.now) {
		n.start(b)
	}
}

func (n *node) start(b *busyShard) {
	d := n.takes(n.used)
	b.ends = n.now.Add(d + time.Duration(n.rng.Int64N(int64(d*3/10)+1)))
}

// end ends an append. Its answers are counted with the shard's next one.
func (n *node) end(b *busyShard) {
	n.now = b.ends
	for _, a := range n.release(b.answered, n.now) {
		n.start(n.byActor[a])
	}
	took := n.now.Sub(b.asked)
	if n.sick > 0 && n.rng.IntN(n.sick) == 0 {
		took += n.sickFor
	}
	b.answered = replies{n.callers, time.Duration(n.callers) * took}
	b.ends = time.Time{}
	n.ask(b)
}

// slotsAt returns adaptive slots whose limit is that of a rung.
func slotsAt(limit int) *slots {
	s := newAdaptiveSlots(64)
	for s.search.at = 0; rung(s.search.at) < limit; {
		s.search.at++
	}
	s.limit = limit
	return s
}

func TestTheLimitComesDownFromTheMost(t *testing.T) {
	t.Parallel()
	for _, at64 := range []time.Duration{100 * time.Millisecond, 400 * time.Millisecond, 1600 * time.Millisecond} {
		n := newNode(slotsAt(64), 64, serial(at64))
		n.run(min(10*time.Minute, 1000*at64))
		if got := rung(n.search.at); got > 12 {
			t.Errorf("64 appends take %s each, 8 take an eighth of an eighth, and the limit is still %d", at64, got)
		}
	}
}

func TestTheLimitComesDownToTheShardsThatAreBusy(t *testing.T) {
	t.Parallel()
	for _, busy := range []int{3, 5, 16} {
		n := newNode(slotsAt(64), busy, always(5*time.Millisecond))
		n.run(2 * time.Minute)
		if got := rung(n.search.at); got > 2*busy || got < busy {
			t.Errorf("%d shards are busy, the store bears all of them, and the limit is %d", busy, got)
		}
		n = newNode(slotsAt(64), busy, serial(10*time.Second))
		n.run(10 * time.Minute)
		if got := rung(n.search.at); got > 12 {
			t.Errorf("%d shards are busy, the store thrashes beyond 8, and the limit is %d", busy, got)
		}
	}
}

// Nothing can be told from a node that is idle for the most part.
func TestAnIdleNodeKeepsItsLimit(t *testing.T) {
	t.Parallel()
	s, now := slotsAt(24), time.Unix(1000, 0)
	for range 10_000 {
		if !s.take(nil, now) {
			t.Fatal("a slot must be free")
		}
		s.release(replies{1, time.Millisecond}, now.Add(time.Millisecond))
		now = now.Add(10 * time.Millisecond)
	}
	if s.limit != 24 {
		t.Errorf("a node that is idle moved its limit from 24 to %d", s.limit)
	}
}

// A pause of the store would count against whichever limit it met.
func TestAPauseOfTheStoreIsNotMeasured(t *testing.T) {
	t.Parallel()
	s, now := slotsAt(8), time.Unix(1000, 0)
	s.take(nil, now)
	step := func(d time.Duration) {
		s.take(nil, now)
		now = now.Add(d)
		s.release(replies{1, d}, now)
	}
	for range 1000 {
		step(10 * time.Millisecond)
		if s.settled && s.search.trial {
			break
		}
	}
	turn := s.search.turn
	step(10 * time.Millisecond)
	step(3 * time.Second)
	if s.search.trial || s.search.turn != turn {
		t.Errorf("after a pause of 3 s the trial goes on: %v, in turn %d after %d", s.search.trial, s.search.turn, turn)
	}
}

// However long an append takes, it is measured: here no limit but the largest is good.
func TestTheLimitRisesInASlowStore(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{5 * time.Millisecond, 350 * time.Millisecond, 700 * time.Millisecond, 2 * time.Second} {
		n := newNode(slotsAt(2), 64, always(d))
		n.run(min(20*time.Minute, 30*time.Second+2000*d))
		if got := rung(n.search.at); got < 48 {
			t.Errorf("64 shards are busy, appends take %s however many there are, and the limit is still %d", d, got)
		}
	}
}

// A store that becomes slow while few appends are under way.
func TestTheLimitLeavesTheLeast(t *testing.T) {
	t.Parallel()
	n := newNode(slotsAt(2), 64, always(time.Millisecond))
	n.takes = func(k int) time.Duration { return time.Duration(k*k) * time.Millisecond }
	n.run(time.Minute)
	if got := rung(n.search.at); got > 3 {
		t.Fatalf("one append at a time is best, and the limit is %d", got)
	}
	n.takes = always(700 * time.Millisecond)
	n.run(20 * time.Minute)
	if got := rung(n.search.at); got < 16 {
		t.Errorf("64 shards wait, appends cost nothing but time, and the limit is %d after 20 minutes", got)
	}
}

// What commands of a sick shard waited for is no matter of the limit.
func TestRepliesOfSickShardsDoNotMoveTheLimit(t *testing.T) {
	t.Parallel()
	best := func(k int) time.Duration { // rates are best at 16
		return time.Duration(k*k+256) * time.Second / 32 / 1000
	}
	appends := func(sick int) int {
		n := newNode(slotsAt(16), 64, best)
		n.sick, n.sickFor = sick, 20*time.Second
		return n.run(3 * time.Minute)
	}
	if well, sick := appends(0), appends(500); float64(sick) < 0.95*float64(well) {
		t.Errorf("%d appends with replies of sick shards, %d without", sick, well)
	}
}

// A command takes a hundred times longer from now on: at first that looks like a sick shard's, then it is the usual.
func TestALastingChangeIsTheUsualSoon(t *testing.T) {
	t.Parallel()
	n := newNode(slotsAt(8), 8, always(5*time.Millisecond))
	n.run(time.Minute)
	n.takes = always(time.Second)
	n.run(time.Minute)
	if n.usual < time.Second {
		t.Errorf("a command takes a second for a minute now, and %s counts as usual", n.usual)
	}
}
