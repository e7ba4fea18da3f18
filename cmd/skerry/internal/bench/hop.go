package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// Hop measures what it costs that a command is sent by another node than its entity's: nodes in this process on one
// journal, that speak over TCP as they do between processes. Both ways are measured in turns, so that
// the machine's moods meet both.
type Hop struct {
	Setup
	Nodes int
	// Entities are how many there are of each kind: on the callers' node, and on another one.
	Entities int
	// Callers at once for the throughput; latency is measured with one.
	Callers int
	// Warm is how long each way is used before it is measured; For, how long each of the four measurements takes.
	Warm, For time.Duration
}

// HopFigures is the result, or the medians of several runs of it.
type HopFigures struct {
	Journal string `json:"journal"`
	Nodes   int    `json:"nodes"`
	// LocalP50, ForwardedP50 and what the hop adds are in µs, of one caller at a time.
	LocalP50     float64 `json:"local_p50_us"`
	ForwardedP50 float64 `json:"forwarded_p50_us"`
	HopMicros    float64 `json:"hop_us"`
	LocalP99     float64 `json:"local_p99_us"`
	ForwardedP99 float64 `json:"forwarded_p99_us"`
	// Callers is how many there are at once for the throughput. ThroughputLeft is the forwarded share of the local one.
	Callers            int     `json:"callers"`
	LocalPerSecond     float64 `json:"local_per_s"`
	ForwardedPerSecond float64 `json:"forwarded_per_s"`
	ThroughputLeft     float64 `json:"throughput_left"`
	Machine
	Runs []HopFigures `json:"runs,omitempty"`
}

// Check tells what is wrong with the measurement.
func (h Hop) Check() error {
	switch {
	case h.Nodes < 2 || h.Nodes > maxNodes:
		return fmt.Errorf("a cluster of %d nodes: use 2 to %d", h.Nodes, maxNodes)
	case h.Entities < 1 || h.Entities > maxEntities:
		return fmt.Errorf("%d entities: use 1 to %d", h.Entities, maxEntities)
	case h.Callers < 1 || h.Callers > maxCallers:
		return fmt.Errorf("%d callers: use 1 to %d", h.Callers, maxCallers)
	case h.For <= 0:
		return fmt.Errorf("a measurement of %v: use a positive time", h.For)
	case h.Warm < 0:
		return fmt.Errorf("a warm-up of %v: use 0 or more", h.Warm)
	}
	return h.check()
}

// Run measures once, on nodes and a journal of its own.
func (h Hop) Run(ctx context.Context) (f HopFigures, err error) {
	if err := h.Check(); err != nil {
		return f, err
	}
	dir, remove, err := h.scratch()
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	j, err := h.open(ctx, dir)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	return h.onNodes(ctx, j)
}

func (h Hop) onNodes(ctx context.Context, j journal.Journal) (f HopFigures, err error) {
	var nodes []*member
	defer func() {
		for _, m := range nodes {
			err = errors.Join(err, m.leave())
		}
	}()
	var seeds []string
	for i := range h.Nodes {
		m, err := h.join(ctx, memberConfig{Name: fmt.Sprintf("n%d", i+1), Seeds: seeds, journal: j})
		if err != nil {
			return f, err
		}
		nodes, seeds = append(nodes, m), append(seeds, m.seed)
	}
	if err := spread(ctx, nodes); err != nil {
		return f, err
	}
	local, err := h.idsOn(ctx, nodes[0])
	if err != nil {
		return f, err
	}
	remote, err := h.idsOn(ctx, nodes[1])
	if err != nil {
		return f, err
	}
	return h.measure(ctx, nodes[0], local, remote)
}

// spread waits until each shard is served by one of the nodes, and each serves some.
func spread(ctx context.Context, nodes []*member) error {
	ctx, cancel := context.WithTimeoutCause(ctx, restPatience, fmt.Errorf("the nodes did not come to rest within %v", restPatience))
	defer cancel()
	for {
		served, idle := 0, false
		for _, m := range nodes {
			owned, err := m.owns(ctx)
			if err != nil {
				return err
			}
			served, idle = served+len(owned), idle || len(owned) == 0
		}
		if !idle && served == nodes[0].Feed().Shards() {
			return nil
		}
		if err := pause(ctx, ownsPause); err != nil {
			return err
		}
	}
}

// idsOn names entities whose shards a node serves.
func (h Hop) idsOn(ctx context.Context, m *member) (ids []string, err error) {
	owned, err := m.owns(ctx)
	if err != nil {
		return nil, err
	}
	serves := map[int]bool{}
	for _, shard := range owned {
		serves[shard] = true
	}
	for i := 0; len(ids) < h.Entities; i++ {
		if id := entityID(i); serves[int(m.Host().ShardOf(typeName, id))] {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// turns is into how many pieces each measurement is cut.
const turns = 8

func (h Hop) measure(ctx context.Context, from *member, local, remote []string) (HopFigures, error) {
	ways := []*way{{ids: local, callers: 1}, {ids: remote, callers: 1}, {ids: local, callers: h.Callers}, {ids: remote, callers: h.Callers}}
	for _, w := range ways {
		if err := (&way{ids: w.ids, callers: w.callers}).run(ctx, from, h.Payload, h.Warm); err != nil {
			return HopFigures{}, err
		}
	}
	for range turns {
		for _, w := range ways {
			if err := w.run(ctx, from, h.Payload, h.For/turns); err != nil {
				return HopFigures{}, err
			}
		}
	}
	f := HopFigures{
		Journal: h.Journal, Nodes: h.Nodes, Callers: h.Callers, Machine: ThisMachine(),
		LocalP50: micros(ways[0].latency.quantile(0.5)), ForwardedP50: micros(ways[1].latency.quantile(0.5)),
		LocalP99: micros(ways[0].latency.quantile(0.99)), ForwardedP99: micros(ways[1].latency.quantile(0.99)),
		LocalPerSecond: ways[2].perSecond(), ForwardedPerSecond: ways[3].perSecond(),
	}
	f.HopMicros, f.ThroughputLeft = f.ForwardedP50-f.LocalP50, f.ForwardedPerSecond/f.LocalPerSecond
	return f, nil
}

// way is one of the ways that commands are sent.
type way struct {
	ids     []string
	callers int
	latency histogram
	elapsed time.Duration
}

// run sends for a while in closed loops.
func (w *way) run(ctx context.Context, from entity.Caller, payload int, length time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	content, begin := randomBytes(payload), time.Now()
	latencies := make([]histogram, w.callers)
	var running sync.WaitGroup
	for c := range w.callers {
		running.Go(func() {
			for i := c; ctx.Err() == nil && (i == c || time.Since(begin) < length); i += w.callers { // once at least: none is no figure
				at := time.Now()
				if err := put(ctx, from, w.ids[i%len(w.ids)], content); err != nil {
					cancel(fmt.Errorf("a command failed, so nothing was measured: %w", err))
				}
				latencies[c].record(time.Since(at))
			}
		})
	}
	running.Wait()
	w.elapsed += time.Since(begin)
	for c := range latencies {
		w.latency.merge(&latencies[c])
	}
	return context.Cause(ctx)
}

func (w *way) perSecond() float64 { return float64(w.latency.total) / w.elapsed.Seconds() }

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// MedianHop returns the median of each figure. runs is not empty.
func MedianHop(runs []HopFigures) HopFigures {
	if len(runs) == 1 {
		return runs[0]
	}
	m := runs[len(runs)-1]
	m.Runs = runs
	for _, field := range []func(*HopFigures) *float64{
		func(f *HopFigures) *float64 { return &f.LocalP50 },
		func(f *HopFigures) *float64 { return &f.ForwardedP50 },
		func(f *HopFigures) *float64 { return &f.HopMicros },
		func(f *HopFigures) *float64 { return &f.LocalP99 },
		func(f *HopFigures) *float64 { return &f.ForwardedP99 },
		func(f *HopFigures) *float64 { return &f.LocalPerSecond },
		func(f *HopFigures) *float64 { return &f.ForwardedPerSecond },
		func(f *HopFigures) *float64 { return &f.ThroughputLeft },
	} {
		var all []float64
		for i := range runs {
			all = append(all, *field(&runs[i]))
		}
		*field(&m) = median(all)
	}
	return m
}
