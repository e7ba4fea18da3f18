package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// The faults that can be measured.
const (
	// Kill ends a node's process with SIGKILL: its sockets close, it says nothing.
	Kill = "kill"
	// Pause stops a node's process for longer than it takes to be noticed, and lets it go on: its sockets stay open.
	Pause = "pause"
	// Drain ends a node with SIGTERM: it gives its shards away and leaves.
	Drain = "drain"
	// Roll does that with all nodes, one after the other, and starts each anew before the next.
	Roll = "roll"
)

// Fault measures what callers see of a fault in a cluster: nodes in processes of their own on one journal in
// Cassandra, commands at a steady rate before, during and after. The callers are in this process, which is a member of the
// cluster without shards: so they are outside of the node that fails, and know of it what any other node does.
type Fault struct {
	Setup
	Kind  string
	Nodes int
	// Rate is commands per second, Entities to how many of them: each gets one every Entities/Rate seconds.
	Rate, Entities int
	// Warm is how long the load runs before anything is measured; For, how long it is measured before the
	// fault and again after it.
	Warm, For time.Duration
	// PauseFor is how long a paused node stands still.
	PauseFor time.Duration
	// Victim is the number of the node that the fault happens to, for one node.
	Victim int
	// NodeLog is what the nodes write to the log.
	NodeLog slog.Level
	// Command starts this program anew so that it calls [RunMember] with what it is given, as JSON.
	Command func(ctx context.Context, told string) *exec.Cmd
}

// Limits of a fault.
const (
	maxNodes     = 16
	maxFaultRate = 20_000
	maxPhase     = time.Hour
	// stepPatience bounds each step of a fault: a node that leaves, or that joins.
	stepPatience = 5 * time.Minute
)

// Check tells what is wrong with the measurement.
func (f Fault) Check() error {
	switch {
	case f.Kind != Kill && f.Kind != Pause && f.Kind != Drain && f.Kind != Roll:
		return fmt.Errorf("fault %q is not known: use %s, %s, %s or %s", f.Kind, Kill, Pause, Drain, Roll)
	case f.Nodes < 2 || f.Nodes > maxNodes:
		return fmt.Errorf("a cluster of %d nodes: use 2 to %d", f.Nodes, maxNodes)
	case f.Shards != 0 && f.Shards < f.Nodes:
		return fmt.Errorf("%d shards on %d nodes: some would have none", f.Shards, f.Nodes)
	case f.Rate < 1 || f.Rate > maxFaultRate:
		return fmt.Errorf("a rate of %d commands a second: use 1 to %d", f.Rate, maxFaultRate)
	case f.Entities < 1 || f.Entities > maxEntities:
		return fmt.Errorf("%d entities: use 1 to %d", f.Entities, maxEntities)
	case f.For <= 0 || f.For > maxPhase:
		return fmt.Errorf("a measurement of %v: use a positive time up to %v", f.For, maxPhase)
	case f.Warm < 0 || f.Warm > maxPhase:
		return fmt.Errorf("a warm-up of %v: use 0 to %v", f.Warm, maxPhase)
	case f.Kind == Pause && (f.PauseFor <= 0 || f.PauseFor > maxPhase):
		return fmt.Errorf("a pause of %v: use a positive time up to %v", f.PauseFor, maxPhase)
	case f.Journal != Cassandra:
		return fmt.Errorf("the journal %s belongs to one process: faults of processes are measured on %s", f.Journal, Cassandra)
	}
	return f.check()
}

// Run measures once, on a journal and processes of its own, which are gone when it returns.
func (f Fault) Run(ctx context.Context) (figures FaultFigures, err error) {
	if err := f.Check(); err != nil {
		return figures, err
	}
	dir, remove, err := f.scratch()
	if err != nil {
		return figures, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	j, err := f.open(ctx, dir)
	if err != nil {
		return figures, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	return f.onCluster(ctx, dir, j)
}

func (f Fault) onCluster(ctx context.Context, dir string, j journal.Journal) (figures FaultFigures, err error) {
	door, err := f.join(ctx, memberConfig{Name: "callers", Gateway: true, journal: j})
	if err != nil {
		return figures, err
	}
	defer func() { err = errors.Join(err, door.leave()) }()
	c := &crew{fault: f, dir: dir, shards: door.Feed().Shards(), seeds: []string{door.seed}}
	defer c.kill()
	if err := c.startAll(ctx); err != nil {
		return figures, err
	}
	t := &trial{
		fault: f, crew: c, shardOf: func(id string) uint32 { return door.Host().ShardOf(typeName, id) },
		loop: &openLoop{caller: door, rate: f.Rate, entities: f.Entities, payload: randomBytes(f.Payload)},
	}
	if err := t.run(ctx); err != nil {
		return figures, err
	}
	totals, err := totalsOf(ctx, door, f.Entities)
	if err != nil {
		return figures, err
	}
	c.kill() // so that nothing is written while the logs are read
	log, err := readDeposits(ctx, j, c.shards)
	if err != nil {
		return figures, err
	}
	return t.figures(totals, log)
}

// trial is one run of a fault.
type trial struct {
	fault    Fault
	crew     *crew
	shardOf  func(id string) uint32
	loop     *openLoop
	quiet    phase
	after    phase
	episodes []episode
	leaves   []float64 // how long nodes took that were told to end, in seconds
}

// phase is a part of a trial, by the time of the loop.
type phase struct {
	from, to          time.Duration
	busyFrom, busyTo  uint64
	ticksFrom, ticksT uint64
}

func (t *trial) begin(p *phase) {
	p.from = t.loop.at()
	p.busyFrom, p.ticksFrom = busyTime()
}

func (t *trial) end(p *phase) {
	p.to = t.loop.at()
	p.busyTo, p.ticksT = busyTime()
}

// busy is the share of all processors that was at work, for anyone; 0 where it is not known.
func (p phase) busy() float64 {
	return float64(p.busyTo-p.busyFrom) / float64(max(p.ticksT-p.ticksFrom, 1))
}

// run keeps the load up while the phases pass.
func (t *trial) run(ctx context.Context) error {
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t.loop.began = time.Now()
	go func() {
		defer close(ended)
		t.loop.run(ctx)
	}()
	err := t.phases(ctx)
	if err != nil {
		cancel()
	}
	t.loop.stop()
	<-ended
	return err
}

func (t *trial) phases(ctx context.Context) error {
	if err := pause(ctx, t.fault.Warm); err != nil {
		return err
	}
	t.begin(&t.quiet)
	if err := pause(ctx, t.fault.For); err != nil {
		return err
	}
	t.end(&t.quiet)
	t.begin(&t.after)
	if err := t.strike(ctx); err != nil {
		return err
	}
	err := pause(ctx, t.fault.For)
	t.end(&t.after)
	return err
}
