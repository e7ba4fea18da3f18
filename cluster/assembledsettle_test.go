package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/skerryhq/skerry/journal"
)

const (
	// settleTime is how long a cluster may take to come to rest when nothing is wrong any more: two sides of a split must
	// find each other again, and who was fenced often waits.
	settleTime = 45 * time.Second
	// restTime is how long callers go on after that; then it must be at rest still.
	restTime = 2 * time.Second
	// flushTime is when owners have written what follows from their logs.
	flushTime = 9 * time.Second
	// timersTime is when all timers have fired: clocks differ.
	timersTime = mostDelay + 4*time.Second
	// readersTime is how long readers may take to see the last records.
	readersTime = 30 * time.Second
	// probesTime is when the last of memberlist's probes has ended.
	probesTime = 5 * time.Second
)

// settle waits for rest, and then looks at what every node says.
func (a *assembly) settle() {
	a.liftDrain()
	a.awaitRest()
	time.Sleep(restTime)
	a.hush()
	if a.plan.QuietCrash {
		a.crashInQuiet()
	}
	time.Sleep(timersTime)
	if why := a.unrest(); why != "" {
		a.complain("the cluster came to rest and left it: %s", why)
	}
	a.checkTimers()
	a.askAll()
	a.awaitReaders()
}

// crashInQuiet ends all processes when what they have in memory is written, and starts them again. Nobody sends
// a command then, so owners must know by themselves which timers are pending.
func (a *assembly) crashInQuiet() {
	time.Sleep(flushTime)
	a.each(a.slots, func(s *slot) { s.crash(a) })
	a.each(a.slots, func(s *slot) { s.start(a) })
	a.awaitRest()
}

// checkTimers looks for timers that wait for somebody to come by.
func (a *assembly) checkTimers() {
	ledgers := a.read()
	for _, d := range a.history.deeds {
		if l := ledgers[d.of]; d.does == arming && l != nil && len(l.times[d.number]) > len(l.fires[d.number]) {
			a.complain("%v: its timer has not fired", d)
		}
	}
}

// liftDrain leaves one node at least that may own shards.
func (a *assembly) liftDrain() {
	ctx, cancel := context.WithTimeout(a.ctx, settleTime)
	defer cancel()
	if p := a.anyRunning(); p == nil {
		a.complain("no node runs")
	} else if err := p.node.Undrain(ctx, a.slots[a.plan.Anchor].name); err != nil {
		a.complain("an order cannot be taken back: %v", err)
	}
}

func (a *assembly) awaitRest() {
	began := time.Now()
	for {
		why := a.unrest()
		if why == "" {
			a.trace.note("at rest after %v", time.Since(began))
			return
		}
		if time.Since(began) > settleTime {
			a.complain("no rest after %v: %s", settleTime, why)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// unrest says why the cluster is not at rest.
func (a *assembly) unrest() string {
	var incarnations []string
	for _, s := range a.slots {
		p := s.now.Load()
		if p == nil {
			return s.name + " does not run"
		}
		incarnations = append(incarnations, p.node.Incarnation())
	}
	slices.Sort(incarnations)
	view, serving := "", make([]int, a.plan.Shards)
	for _, p := range a.running() {
		ctx, cancel := context.WithTimeout(a.ctx, time.Second)
		why := p.unrest(ctx, incarnations, &view, serving)
		cancel()
		if why != "" {
			return p.slot.name + ": " + why
		}
	}
	for number, nodes := range serving {
		if nodes != 1 {
			return fmt.Sprintf("shard %d is served by %d nodes", number, nodes)
		}
	}
	return ""
}

// unrest says why one node is not at rest. view is what those before it see.
func (p *process) unrest(ctx context.Context, members []string, view *string, serving []int) string {
	r, err := p.node.Rest(ctx)
	if err != nil {
		return err.Error()
	}
	slices.Sort(r.Members)
	switch {
	case !slices.Equal(r.Members, members):
		return fmt.Sprintf("it sees the members %v, there are %v", r.Members, members)
	case *view != "" && *view != r.View:
		return fmt.Sprintf("its view is %s, another's %s", r.View, *view)
	case r.Moving > 0 || !slices.Equal(r.Wants, r.Serves):
		return fmt.Sprintf("it takes %d shards; of those that belong to it, %v, it serves %v", r.Moving, r.Wants, r.Serves)
	case r.Nowhere > 0:
		return fmt.Sprintf("%d shards have no place", r.Nowhere)
	}
	*view = r.View
	infos, err := p.node.Host().Shards(ctx)
	if err != nil {
		return err.Error()
	}
	for _, i := range infos {
		if i.Phase == "serving" {
			serving[i.Shard]++
		}
	}
	return ""
}

// askAll asks every node for every account: all must answer.
func (a *assembly) askAll() {
	var all sync.WaitGroup
	for _, p := range a.running() {
		for e := range a.plan.Entities {
			all.Go(func() {
				d := &deed{number: a.history.next.Add(1), of: fmt.Sprint("a", e), does: asking}
				a.history.begin(d)
				a.try(p, d, longPatience, false)
				if x := d.tries[0]; x.answer != replied {
					a.complain("at rest, %s does not answer for %s: %v", x.through, d.of, x.err)
				}
			})
		}
	}
	all.Wait()
}

func (a *assembly) awaitReaders() {
	began := time.Now()
	for {
		behind := a.behind()
		if len(behind) == 0 {
			a.trace.note("readers have seen all after %v", time.Since(began))
			break
		}
		if time.Since(began) > readersTime {
			a.complain("after %v readers have not seen all records: %v", readersTime, behind)
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, p := range a.running() {
		p.reader.compare(a.logs())
	}
}

// behind tells which readers have not seen which records.
func (a *assembly) behind() (all []string) {
	logs := a.logs()
	for _, p := range a.running() {
		all = append(all, p.reader.behind(logs)...)
	}
	return all
}

// logs reads all logs, by shard.
func (a *assembly) logs() [][]journal.Record {
	all := make([][]journal.Record, a.plan.Shards)
	for number := range all {
		for {
			found, err := a.journal.Read(context.Background(), uint32(number), uint64(len(all[number]))+1, 1<<20) //nolint:gosec // few shards
			if err != nil {
				a.complain("read shard %d: %v", number, err)
			}
			if len(found) == 0 {
				break
			}
			all[number] = append(all[number], found...)
		}
	}
	return all
}

// end stops all nodes at once, and waits until nothing is left of them.
func (a *assembly) end() {
	a.hush()
	var all sync.WaitGroup
	for _, s := range a.slots {
		all.Go(func() { a.alone(s, func() { s.stop(a) }) })
	}
	all.Wait()
	a.cancel()
	a.late.Wait()
	time.Sleep(probesTime)
}
