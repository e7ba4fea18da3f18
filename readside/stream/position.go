package stream

import "github.com/skerryhq/skerry/journal"

// position holds, per shard, the offset of the last event considered.
type position []uint64

// text is the position as a token.
func (p position) text(history string) string {
	token := journal.Token{History: history, Offsets: make([]journal.ShardOffset, 0, len(p))}
	for shard, offset := range p {
		if offset > 0 {
			token.Offsets = append(token.Offsets, journal.ShardOffset{Shard: uint32(shard), Offset: offset})
		}
	}
	return token.String()
}

// move goes on to where a batch leads. It never goes back.
func (p position) move(moves []journal.ShardOffset) {
	for _, m := range moves {
		p[m.Shard] = max(p[m.Shard], m.Offset)
	}
}

// behind is how many events p has still to see to reach q; ahead tells that it has seen some
// that q has not.
func (p position) behind(q position) (events uint64, ahead bool) {
	for shard := range p {
		if p[shard] > q[shard] {
			ahead = true
			continue
		}
		events += q[shard] - p[shard]
	}
	return events, ahead
}

// missesAny tells whether some of the moves are news.
func (p position) missesAny(moves []journal.ShardOffset) bool {
	for _, m := range moves {
		if m.Offset > p[m.Shard] {
			return true
		}
	}
	return false
}
