package entity

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// store is how many commands per second a store takes with that many appends under way.
type store func(appends int) float64

// peaked is a store that is best at some number and worse by a tenth at its half and its double.
func peaked(best float64) store {
	return func(appends int) float64 {
		away := math.Log2(float64(appends) / best)
		return 40_000 / (1 + away*away/10)
	}
}

// flat is a store whose appends are no dearer when there are many.
func flat(int) float64 { return 40_000 }

// rising is a store that gathers what comes at once into one write.
func rising(appends int) float64 { return 80_000 * float64(appends) / (float64(appends) + 20) }

// aPeriod is how long a limit is measured in a fast store.
const aPeriod = measuring * settling

// loop is callers who wait for their answers before they ask again; noise is what chance
// adds to a rate or takes from it.
type loop struct {
	*search
	callers int
	noise   float64
	rng     *rand.Rand
}

func newLoop(noise float64, seed uint64) *loop {
	return &loop{search: newSearch(64), callers: 1000, noise: noise, rng: rand.New(rand.NewPCG(seed, 0))}
}

// run returns the share of the store's best rate that a number of periods got.
func (l *loop) run(s store, periods int) float64 {
	var got, best float64
	for i := range 63 {
		best = max(best, s(i+2))
	}
	for range periods {
		rate := s(l.limit())
		got += rate
		rate *= 1 + l.noise*l.rng.NormFloat64()
		commands := int(rate * aPeriod.Seconds())
		l.measured(period{
			replies: replies{commands: commands, took: time.Duration(l.callers) * aPeriod},
			length:  aPeriod, peak: l.limit(),
		})
	}
	return got / (best * float64(periods))
}

func TestTheSearchSettlesNearTheBestLimit(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		store       store
		least, most int
	}{
		"best at 2": {peaked(2), 2, 3}, "best at 8": {peaked(8), 6, 12}, "best at 16": {peaked(16), 12, 24},
		"best at 48": {peaked(48), 32, 64}, "rising": {rising, 48, 64}, "flat": {flat, 2, 3},
	} {
		l := newLoop(0, 1)
		l.run(test.store, 150)
		if got := rung(l.at); got < test.least || got > test.most {
			t.Errorf("%s: the limit is %d after 150 periods, want %d to %d", name, got, test.least, test.most)
		}
		if share := l.run(test.store, 500); share < 0.97 {
			t.Errorf("%s: when it has settled it gets %.3f of the best rate", name, share)
		}
	}
}

func TestTheSearchIsNotLedAstrayByChance(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		for name, s := range map[string]store{"best at 4": peaked(4), "best at 16": peaked(16), "best at 48": peaked(48), "rising": rising} {
			l := newLoop(0.1, seed)
			l.run(s, 200)
			if share := l.run(s, 2000); share < 0.93 {
				t.Errorf("%s, seed %d: with rates that vary by 10 %% it gets %.3f of the best", name, seed, share)
			}
		}
	}
}

func TestTheSearchFollowsAChange(t *testing.T) {
	t.Parallel()
	l := newLoop(0.02, 1)
	for _, best := range []float64{32, 4, 48, 2, 16} {
		l.run(peaked(best), 350)
		if got := math.Abs(math.Log2(float64(rung(l.at)) / best)); got > 1 {
			t.Errorf("350 periods after the best limit has become %.0f it is %d", best, rung(l.at))
		}
	}
}

// Where commands come at a rate of their own that any limit carries, the answers' latency decides.
func TestTheSearchKeepsLatencyLowBelowSaturation(t *testing.T) {
	t.Parallel()
	s := newSearch(64)
	for range 200 {
		latency := time.Duration(1+32/s.limit()) * time.Millisecond // all 64 shards wait their turn
		s.measured(period{replies: replies{commands: 750, took: 750 * latency}, length: aPeriod, peak: min(s.limit(), 32)})
	}
	if got := rung(s.at); got < 24 {
		t.Errorf("the limit is %d: commands wait for slots in a store that has time for them", got)
	}
}

func TestTheSearchStaysWithinItsLimits(t *testing.T) {
	t.Parallel()
	for _, most := range []int{1, 2, 5, 16, 50, 4096} {
		s := newSearch(most)
		rng := rand.New(rand.NewPCG(uint64(most), 0))
		for range 2000 {
			if got := s.limit(); got < minSlots || got > max(most, minSlots) {
				t.Fatalf("a limit of %d, of at most %d", got, most)
			}
			s.measured(period{replies: replies{rng.IntN(1000), time.Duration(rng.IntN(1000)) * time.Millisecond}, length: aPeriod, peak: rng.IntN(s.limit() + 1)})
		}
	}
}

func TestTheSearchBeginsWithWhatIsUsed(t *testing.T) {
	t.Parallel()
	for peak, want := range map[int]int{0: 2, 2: 2, 5: 6, 12: 12, 13: 16, 48: 48, 63: 64, 64: 64} {
		s := newSearch(64)
		for rung(s.at) < 64 {
			s.at++
		}
		s.measured(period{replies: replies{100, time.Second}, length: aPeriod, peak: peak})
		if got := rung(s.at); got != want {
			t.Errorf("no more than %d of 64 slots were used, and the limit is %d, want %d", peak, got, want)
		}
	}
}
