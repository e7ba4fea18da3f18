package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Each duration lies in a bucket whose bound is not below it and at most 1.6% above.
func TestBucketsBoundDurationsFromAbove(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	durations := []time.Duration{0, 1, 63, 64, 65, 127, 128, 129, 1<<maxBits - 1}
	for range 10_000 {
		durations = append(durations, time.Duration(rng.Int64N(1<<rng.IntN(maxBits)+1)))
	}
	for _, d := range durations {
		bound := upperBound(bucketOf(d))
		if bound < d || float64(bound-d) > float64(d)/64 {
			t.Fatalf("%d ns is in bucket %d, which reaches up to %d", d, bucketOf(d), bound)
		}
	}
}

func TestNegativeAndAbsurdDurationsAreCounted(t *testing.T) {
	t.Parallel()
	var h histogram
	h.record(-1)
	h.record(math.MaxInt64)
	if h.total != 2 || h.counts[0] != 1 || h.counts[buckets-1] != 1 {
		t.Fatalf("counted %d, first bucket %d, last %d; want 2, 1, 1", h.total, h.counts[0], h.counts[buckets-1])
	}
}

func TestQuantilesOfMergedHistogramsAreThoseOfAllDurations(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	var merged, one, two histogram
	var all []time.Duration
	for i := range 20_000 {
		d := time.Duration(rng.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		[]*histogram{&one, &two}[i%2].record(d)
	}
	merged.merge(&one)
	merged.merge(&two)
	slices.Sort(all)
	for _, q := range []float64{0, 0.5, 0.99, 0.999} {
		want := all[int(q*float64(len(all)))]
		got := merged.quantile(q)
		if got < want || float64(got) > float64(want)*1.02 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := merged.quantile(1); got != all[len(all)-1] {
		t.Errorf("quantile 1 is %v, want the longest, %v", got, all[len(all)-1])
	}
}
