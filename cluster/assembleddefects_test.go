package cluster_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// defects are planted, to show that the checks find them.
type defects struct {
	// TailUnasked has nodes take every tail check for passed.
	TailUnasked bool
	// AppendsOverlooked has nodes take a record for stored where another's is.
	AppendsOverlooked bool
	// TimersDropped keeps arms out of the index.
	TimersDropped bool
	// KeysForgotten has a command without a caller's key sent again under a new one when its outcome is unknown.
	KeysForgotten bool
	// RecordsSkipped has readers overlook records.
	RecordsSkipped bool
	// LossesUnheard has nodes never hear that a member was lost.
	LossesUnheard bool
	// GoroutineLeft has each process leave a goroutine behind.
	GoroutineLeft bool
}

func (d defects) append(ctx context.Context, j *journal.Memory, shard uint32, rec journal.Record) (journal.Slot, error) {
	slot, err := j.Append(ctx, shard, rec)
	if d.AppendsOverlooked && err == nil && !rec.Claim {
		slot.Holder = rec.Header
	}
	return slot, err
}

func (d defects) call(ctx context.Context, n *cluster.Node, req *entity.Request) (*entity.Response, error) {
	first := *req
	resp, err := n.Call(ctx, req)
	if d.KeysForgotten && errors.Is(err, entity.ErrUnknownOutcome) && first.Key == (entity.CommandKey{}) {
		return n.Call(context.WithoutCancel(ctx), &first)
	}
	return resp, err
}

func (d defects) feed(found []journal.Record) []journal.Record {
	if d.RecordsSkipped && len(found) > 3 {
		return found[1:]
	}
	return found
}

func (d defects) gossip(g cluster.Gossip) cluster.Gossip {
	if d.LossesUnheard {
		return &deaf{Gossip: g, known: map[string]cluster.Member{}}
	}
	return g
}

// deaf is gossip that forgets nobody.
type deaf struct {
	cluster.Gossip
	mu    sync.Mutex
	known map[string]cluster.Member
}

func (d *deaf) Membership() cluster.Membership {
	m := d.Gossip.Membership()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range m.Members {
		d.known[x.Incarnation] = x
	}
	m.Members, m.Lost = nil, nil
	for _, x := range d.known {
		m.Members = append(m.Members, x)
	}
	return m
}

// leave leaves a goroutine behind that nothing ends.
func (d defects) leave() {
	if d.GoroutineLeft {
		go func() { <-make(chan struct{}) }()
	}
}

func TestPlantedDefectsAreFoundInTheAssembledCluster(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		planted defects
		theme   []faultKind
		told    []string // one of these is
	}{
		"an owner does not ask whether it still is":  {defects{TailUnasked: true}, []faultKind{freeze, split}, []string{"stale", "not linearizable"}},
		"a lost append counts as done":               {defects{AppendsOverlooked: true}, []faultKind{freeze, split}, []string{"was acknowledged and is not in the log"}},
		"the timer index forgets":                    {defects{TimersDropped: true}, []faultKind{crashAll, crash}, []string{"has not fired"}},
		"a command is sent again under another key":  {defects{KeysForgotten: true}, []faultKind{crash, sick, outage}, []string{"is in the log 2 times"}},
		"a reader skips records":                     {defects{RecordsSkipped: true}, []faultKind{split, crash}, []string{"where"}},
		"nobody hears of a crash":                    {defects{LossesUnheard: true}, []faultKind{die, crash}, []string{"no rest"}},
		"a process does not end all that it started": {defects{GoroutineLeft: true}, []faultKind{crash}, []string{"blocked goroutines remain"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(plantedPlans) {
				a := assemble(t, plantedPlan(seed+1, x.theme), x.planted)
				for _, told := range x.told {
					if strings.Contains(strings.Join(a.complaints, "\n"), told) {
						return
					}
				}
			}
			t.Errorf("%d plans do not find it", plantedPlans)
		})
	}
}

// plantedPlans is how many plans a defect may escape. Chance has a part in each: one in ten meets the rarest of them.
const plantedPlans = 300

// plantedPlan is a plan that gives a defect of some kind the chance to do harm.
func plantedPlan(seed uint64, theme []faultKind) plan {
	p := drawPlan(seed)
	p.Slots, p.First, p.Anchor, p.Callers, p.Think = 3, 3, 0, 4, 30*time.Millisecond
	p.Weights, p.Skews, p.Calm = []int{1, 1, 1}, make([]time.Duration, 3), false
	p.Length, p.Entities, p.Faults = 30*time.Second, 12, nil
	for i, kind := range theme {
		p.Faults = append(p.Faults, fault{Kind: kind, At: time.Duration(6+10*i) * time.Second, For: 9 * time.Second, On: []int{i % 3}, N: 60})
	}
	return p
}
