package cluster

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// voice is what a node says in its witness row beside being alive.
type voice struct {
	name uint64 // of its incarnation
	// votes tells that it counts where sides are compared: it may own shards.
	votes         bool
	startedMillis int64
	hears         []uint64 // names, ascending
}

// maxHeard bounds whom a voice names, so that a row stays under 64 KiB. Of more members the rest is not named, and
// so is on no side with this node.
const maxHeard = 8000

// nameOf is an incarnation in eight bytes.
func nameOf(incarnation string) uint64 { return xxhash.Sum64String(incarnation) }

// voiceOf is what self says when these are the members.
func voiceOf(self Member, members []Member) voice {
	v := voice{name: nameOf(self.Incarnation), votes: self.Weight > 0, startedMillis: self.StartedMillis}
	for _, m := range members {
		if m.Incarnation != self.Incarnation {
			v.hears = append(v.hears, nameOf(m.Incarnation))
		}
	}
	slices.Sort(v.hears)
	v.hears = v.hears[:min(len(v.hears), maxHeard)]
	return v
}

// Format of a voice in a row: voiceFormat, flags, the start as a varint, then eight bytes, the lowest first, for
// each name. A later format may add flags, which older releases ignore.
const (
	voiceFormat = 1
	voiceVotes  = 1
)

// encode is the same for equal voices. The name is not in it: the row has the incarnation.
func (v voice) encode() []byte {
	b := make([]byte, 2, 2+binary.MaxVarintLen64+8*len(v.hears))
	b[0] = voiceFormat
	if v.votes {
		b[1] = voiceVotes
	}
	b = binary.AppendVarint(b, v.startedMillis)
	for _, name := range v.hears {
		b = binary.LittleEndian.AppendUint64(b, name)
	}
	return b
}

// decodeVoice reads what the process of that incarnation says.
func decodeVoice(incarnation string, b []byte) (voice, error) {
	if len(b) < 2 || b[0] != voiceFormat {
		return voice{}, fmt.Errorf("cluster: the witness of %s is in a format that this release does not read", incarnation)
	}
	v := voice{name: nameOf(incarnation), votes: b[1]&voiceVotes != 0}
	started, n := binary.Varint(b[2:])
	names := b[2+max(n, 0):]
	if n <= 0 || len(names)%8 != 0 || len(names) > 8*maxHeard {
		return voice{}, fmt.Errorf("cluster: the witness of %s is damaged", incarnation)
	}
	v.startedMillis = started
	for ; len(names) > 0; names = names[8:] {
		v.hears = append(v.hears, binary.LittleEndian.Uint64(names))
	}
	slices.Sort(v.hears)
	return v, nil
}

func (v voice) hearsOf(name uint64) bool {
	_, found := slices.BinarySearch(v.hears, name)
	return found
}

// linked tells whether two nodes name each other. That only one names the other is no link: it
// may not have noticed yet that it speaks to nobody.
func linked(a, b voice) bool { return a.hearsOf(b.name) && b.hearsOf(a.name) }

// sidesOf divides nodes into sides: sets in which all name each other. Sides are ordered by the oldest of each;
// who is linked to two belongs to the earlier. It is a pure function of a set, so nodes that read
// the same rows see the same sides, whoever of them they are.
func sidesOf(voices []voice) [][]voice {
	rest := slices.SortedFunc(slices.Values(voices), olderFirst)
	var sides [][]voice
	for len(rest) > 0 {
		side, others := []voice{rest[0]}, []voice(nil)
		for _, v := range rest[1:] {
			if slices.ContainsFunc(side, func(s voice) bool { return !linked(s, v) }) {
				others = append(others, v)
			} else {
				side = append(side, v)
			}
		}
		sides, rest = append(sides, side), others
	}
	return sides
}

// olderFirst puts those that own nothing last, for they decide nothing.
func olderFirst(a, b voice) int {
	if a.votes != b.votes {
		if a.votes {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.startedMillis, b.startedMillis), cmp.Compare(a.name, b.name))
}

// strongest is the one side that may claim: the largest, of equal ones that of the oldest.
func strongest(voices []voice) []voice {
	var best []voice
	most := -1
	for _, side := range sidesOf(voices) {
		if n := votes(side); n > most {
			best, most = side, n
		}
	}
	return best
}

func votes(side []voice) (n int) {
	for _, v := range side {
		if v.votes {
			n++
		}
	}
	return n
}
