package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skerryhq/skerry/entity/shardtest"
)

// settle ends all faults and waits until the cluster is at rest.
func (s *sim) settle() {
	s.log("--- quiet")
	s.calm = true
	s.heal()
	s.journal.back()
	s.journal.orders.drains = nil // or nobody might be left to own anything
	for _, x := range s.places {
		x.mend()
	}
	s.awaitRest()
}

// awaitRest waits until the cluster is at rest and has been for a while, in which nobody has claimed.
func (s *sim) awaitRest() {
	const patience, look, calm = 90 * time.Second, time.Second, 6
	rested, claims, why := 0, 0, ""
	for waited := time.Duration(0); rested < calm; waited += look {
		if waited >= patience {
			s.fail("not at rest %v after all was well again, %d claims since: %s", patience, s.journal.claims-claims, why)
		}
		s.run(look)
		rested++
		if now := s.unrest(); now != "" || claims != s.journal.claims {
			rested, claims = 0, s.journal.claims
			why = cmp.Or(now, why)
		}
		s.counts["seconds until rest"]++
	}
}

// unrest tells why the cluster is not at rest: empty if each shard is served by one process, the one where all think
// that it belongs, and nobody is on the way to another state.
func (s *sim) unrest() string {
	alive := s.alive()
	if len(alive) < len(s.places) {
		return fmt.Sprintf("%d of %d places have a process", len(alive), len(s.places))
	}
	first := alive[0]
	if v := first.decider.view; !v.Equal(v.WithOrders(s.journal.orders.pins, s.journal.orders.drains)) {
		return first.incarnation + " does not know the operators' orders"
	}
	for _, p := range alive {
		if p.decider.self.Leaving {
			return p.incarnation + " is still leaving"
		}
		if !p.decider.view.Equal(first.decider.view) {
			return fmt.Sprintf("%s sees %v, %s sees %v", first.incarnation, first.decider.view, p.incarnation, p.decider.view)
		}
		if n := len(p.decider.view.members); n != len(alive) {
			return fmt.Sprintf("%s sees %d members, %d are alive", p.incarnation, n, len(alive))
		}
	}
	for number := range s.plan.shards {
		if why := s.unrestOf(uint32(number), alive); why != "" { //nolint:gosec // few
			return why
		}
	}
	return ""
}

func (s *sim) unrestOf(number uint32, alive []*simProcess) string {
	var owners []string
	belongs := alive[0].decider.steward.table.Of(int(number)).Node
	for _, p := range alive {
		a := p.shards[number]
		if a != nil && a.m.Phase() == shardtest.Serving {
			owners = append(owners, p.incarnation)
		}
		x := &p.decider.steward.shards[number]
		want := elsewhere
		if p.place.node == belongs {
			want = serving
		}
		if x.state != want && belongs != "" {
			return fmt.Sprintf("shard %d belongs to %s; at %s it is %d", number, belongs, p.incarnation, x.state)
		}
	}
	newest := ""
	for _, rec := range slices.Backward(s.journal.logs[number].records) {
		newest = rec.Writer
		break
	}
	if belongs == "" { // nobody may own it: who has it keeps it
		return ""
	}
	if len(owners) != 1 || owners[0] != newest || !strings.HasPrefix(newest, belongs+"-") {
		return fmt.Sprintf("shard %d is served by %v; its newest record is of %q and it belongs to %q", number, owners, newest, belongs)
	}
	return ""
}
