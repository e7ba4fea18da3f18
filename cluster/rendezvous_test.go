package cluster

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestNegativeLog2IsCloseAndNeverRises(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	check := func(x uint64) {
		want := 64 - math.Log2(float64(max(x, 1)))
		if got := float64(negativeLog2(x)) / (1 << 48); math.Abs(got-want) > 1e-5 {
			t.Fatalf("negativeLog2(%#x) = %v, want %v", x, got, want)
		}
		if x < math.MaxUint64 && negativeLog2(x) < negativeLog2(x+1) {
			t.Fatalf("negativeLog2 rises after %#x", x)
		}
	}
	for range 20_000 {
		x := r.Uint64() >> r.IntN(60)
		check(x)
	}
	for shift := range 56 { // borders between entries of the table and between powers of two
		for i := range uint64(256) {
			check((256+i)<<55>>shift - 1)
			check((256 + i) << 55 >> shift)
		}
	}
	check(math.MaxUint64)
}

func TestVersionsCompareByTheirNumbers(t *testing.T) {
	t.Parallel()
	ordered := []string{"", "1", "1.0", "1.9", "1.10", "1.10.1", "2", "v1", "v1.2-a", "v1.2-b", "v01.3", "v10"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := compareVersions(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("compareVersions(%q, %q) = %d", a, b, got)
			}
		}
	}
}
