package cluster

import (
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Rendezvous hashing: each pair of shard and node has a cost that is random but
// the same everywhere, and a shard goes to the node where it costs least. A node
// that goes takes no other pair's cost with it, hence few moves. The cost is an
// exponential variable divided by the node's weight: the smallest of several such
// is each one's with a chance in proportion to its weight.
//
// Plain hashing gives a node as many shards as chance has it. Here the shards draw a node's
// costs without replacement: each of them gets one of as many equal slices of
// (0, 1). That halves the variance of a node's load, so fewer nodes reach their caps.
//
// Everything here is integer arithmetic. Floating point may differ in the last
// bit between processors, and nodes of one cluster must agree. The functions are
// part of the protocol between releases: to change one moves shards for nothing.

// exponentials are the random parts of all shards' costs at a node: −log2 of
// numbers spread evenly over (0, 1), with 48 binary places.
func exponentials(node string, shards int) []uint64 {
	seed := xxhash.Sum64String(node)
	drawn := make([]uint64, shards) // a random number each, with the shard in its last bits
	for shard := range drawn {
		drawn[shard] = mix(mix(uint64(shard)+1)^seed)&^shardMask | uint64(shard)
	}
	slices.Sort(drawn)
	logs := make([]uint64, shards)
	for slice, random := range drawn {
		shard := random & shardMask
		place, _ := bits.Div64(uint64(slice), mix(random), uint64(shards)) // (slice + [0, 1)) / shards
		logs[shard] = negativeLog2(place)
	}
	return logs
}

// shardMask makes room for the number of a shard, below [MaxShards].
const shardMask = 1<<16 - 1

// mix is the finalizer of SplitMix64: each bit of the input changes half of the output's.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// weighted divides one of the exponentials by a weight, given its reciprocal.
func weighted(log, inverse uint64) uint64 {
	high, low := bits.Mul64(log, inverse)
	return high<<(64-inverseBits) | low>>inverseBits
}

// inverseBits is the precision of reciprocals; with exponentials of at most 2^54 no product overflows.
const inverseBits = 40

func inverseOf(weight int) uint64 { return (1 << inverseBits) / uint64(weight) }

// negativeLog2 is −log2(x / 2^64) with 48 binary places, within 10^-5: a line between two
// entries of a table. It never rises with x. For 0 it is that of 1.
func negativeLog2(x uint64) uint64 {
	zeros := bits.LeadingZeros64(x | 1)
	mantissa := x << zeros // 1.63 bits
	index := mantissa << 1 >> (64 - tableBits)
	rest := mantissa << (1 + tableBits) >> (64 - restBits)
	low, high := log2Table[index], log2Table[index+1]
	logarithm := low + (high-low)*rest>>restBits
	return uint64(zeros+1)<<48 - logarithm
}

const (
	tableBits = 8
	// restBits places a number between two entries. These are less than 2^41 apart, so the product fits.
	restBits = 22
)

// log2Table holds log2(1 + i/256) with 48 binary places.
var log2Table = func() (table [1<<tableBits + 1]uint64) {
	for i := range table {
		table[i] = log2(1<<62 + uint64(i)<<(62-tableBits))
	}
	return table
}()

// log2 of a number in [1, 2] with 62 binary places, bit by bit: squaring doubles the logarithm.
func log2(x uint64) (result uint64) {
	if x == 2<<62 {
		return 1 << 48
	}
	for range 48 {
		high, low := bits.Mul64(x, x)
		x = high<<2 | low>>62
		result <<= 1
		if x >= 2<<62 {
			x >>= 1
			result |= 1
		}
	}
	return result
}
