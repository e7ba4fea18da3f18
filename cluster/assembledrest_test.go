package cluster

import "context"

// Rest is what one node thinks of the whole, for tests that wait until nothing moves any more.
type Rest struct {
	View    string   // its digest
	Members []string // incarnations
	Wants   []uint32 // shards that belong on this node
	Serves  []uint32
	Moving  int // shards that it is taking
	Nowhere int // shards for which there is no place
}

// Rest asks the node's loop.
func (n *Node) Rest(ctx context.Context) (r Rest, err error) {
	err = n.inLoop(ctx, func(d *decider) {
		r.View = d.view.Digest()
		for _, m := range d.view.Members() {
			r.Members = append(r.Members, m.Incarnation)
		}
		for i := range d.steward.shards {
			number := uint32(i) //nolint:gosec // at most 4096
			if d.steward.wants(number) {
				r.Wants = append(r.Wants, number)
			}
			if d.steward.shards[i].state == serving {
				r.Serves = append(r.Serves, number)
			}
			if d.steward.table.Of(i).Node == "" {
				r.Nowhere++
			}
		}
		r.Moving = d.steward.taking
	})
	return r, err
}
