package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// FaultFigures are what callers saw of a fault, or the medians of several runs of it.
type FaultFigures struct {
	Fault    string `json:"fault"`
	Journal  string `json:"journal"`
	Nodes    int    `json:"nodes"`
	Shards   int    `json:"shards"`
	Rate     int    `json:"rate"`
	Entities int    `json:"entities"`
	// Struck is how many of the entities were on the node that the fault happened to.
	Struck int `json:"struck_entities"`
	// FirstAnswer is the time from the fault to the first answer to a command that was sent to one of them from then on;
	// AllAnswer, until each of them had given one. With several nodes, one after the other, the longest.
	FirstAnswer float64 `json:"first_answer_s"`
	AllAnswer   float64 `json:"all_answer_s"`
	// Commands counts those of all phases; Errors, those that ended with no reply. Lost were acknowledged and are not
	// in the log at the version that was acknowledged; Doubled are there more than once. Of several runs these four are sums.
	Commands int `json:"commands"`
	Errors   int `json:"errors"`
	Lost     int `json:"lost"`
	Doubled  int `json:"doubled"`
	// Longest, P50 and P99 are of the commands that were under way when the fault came, or due from then on; Quiet… of
	// those that were answered before.
	Longest      float64 `json:"longest_ms"`
	P50          float64 `json:"p50_ms"`
	P99          float64 `json:"p99_ms"`
	QuietLongest float64 `json:"quiet_longest_ms"`
	QuietP50     float64 `json:"quiet_p50_ms"`
	QuietP99     float64 `json:"quiet_p99_ms"`
	// Leave is the longest time that a node took to end that was told to.
	Leave float64 `json:"leave_s,omitempty"`
	// Busy and QuietBusy are the shares of all processors that were at work, for anyone; 0 where the system does not tell.
	Busy      float64 `json:"cpu_busy"`
	QuietBusy float64 `json:"quiet_cpu_busy"`
	Seconds   float64 `json:"seconds"`
	Machine
	Runs []FaultFigures `json:"runs,omitempty"`
}

func (t *trial) figures(totals []uint64, log deposits) (FaultFigures, error) {
	f := FaultFigures{
		Fault: t.fault.Kind, Journal: t.fault.Journal, Nodes: t.fault.Nodes, Shards: t.crew.shards, Rate: t.fault.Rate, Entities: t.fault.Entities,
		Busy: t.after.busy(), QuietBusy: t.quiet.busy(), Seconds: (t.after.to - t.quiet.from).Seconds(), Machine: ThisMachine(),
	}
	for _, s := range t.leaves {
		f.Leave = max(f.Leave, s)
	}
	t.latencies(&f)
	t.recovery(&f)
	return f, t.audit(&f, totals, log)
}

func (t *trial) latencies(f *FaultFigures) {
	var quiet, after histogram
	for _, s := range t.loop.samples() {
		switch {
		case s.ended >= t.after.from:
			after.record(s.latency())
		case s.due >= t.quiet.from:
			quiet.record(s.latency())
		}
	}
	f.P50, f.P99, f.Longest = milliseconds(after.quantile(0.5)), milliseconds(after.quantile(0.99)), milliseconds(after.max)
	f.QuietP50, f.QuietP99, f.QuietLongest = milliseconds(quiet.quantile(0.5)), milliseconds(quiet.quantile(0.99)), milliseconds(quiet.max)
}

// recovery looks at the entities of the nodes that were struck.
func (t *trial) recovery(f *FaultFigures) {
	for _, e := range t.episodes {
		first, all, struck := t.answered(e)
		f.FirstAnswer, f.AllAnswer, f.Struck = max(f.FirstAnswer, first), max(f.AllAnswer, all), max(f.Struck, struck)
	}
}

// answered is when the first and when the last entity of an episode has answered a command that was sent after it. An
// answer to one that was sent before may be the old owner's. One that never answered counts to the end.
func (t *trial) answered(e episode) (first, all float64, struck int) {
	answers := map[int]time.Duration{} // first ones, by entity
	for i := range t.fault.Entities {
		if e.shards[int(t.shardOf(entityID(i)))] {
			answers[i] = t.after.to
		}
	}
	for _, s := range t.loop.samples() {
		if at, mine := answers[s.entity]; mine && s.began > e.effect && s.err == nil && s.ended < at {
			answers[s.entity] = s.ended
		}
	}
	if len(answers) == 0 {
		return 0, 0, 0
	}
	earliest, latest := t.after.to, e.began
	for _, at := range answers {
		earliest, latest = min(earliest, at), max(latest, at)
	}
	return (earliest - e.began).Seconds(), (latest - e.began).Seconds(), len(answers)
}

// totalsOf asks each entity how many events it has. One whose shard nobody serves yet is asked again: the
// measurement may have ended before others have taken it over.
func totalsOf(ctx context.Context, through entity.Caller, entities int) ([]uint64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, restPatience, fmt.Errorf("not all entities answered within %v", restPatience))
	defer cancel()
	all := make([]uint64, entities)
	err := inParallel(ctx, len(all), func(ctx context.Context, i int) error {
		for {
			got, err := balance.Ask(ctx, ledgers.Ref(through, entityID(i)), &emptypb.Empty{})
			if err == nil {
				all[i] = uint64(got.GetValue()) //nolint:gosec // a count
				return nil
			}
			passing := errors.Is(err, entity.ErrUnavailable) || errors.Is(err, entity.ErrBusy) || errors.Is(err, entity.ErrUnknownOutcome)
			if !passing || pause(ctx, ownsPause) != nil {
				return fmt.Errorf("after the fault, entity %s: %w", entityID(i), err)
			}
		}
	})
	return all, err
}

// deposits are what the logs hold: where the command of each number is.
type deposits struct {
	of map[uint64][]deposited
	// totals counts the events of each entity.
	totals map[string]uint64
}

type deposited struct {
	id      string
	version uint64
}

// readDeposits reads the logs of all shards.
func readDeposits(ctx context.Context, from journal.Log, shards int) (deposits, error) {
	d := deposits{of: map[uint64][]deposited{}, totals: map[string]uint64{}}
	for shard := range shards {
		if err := d.read(ctx, from, uint32(shard)); err != nil { //nolint:gosec // a count
			return d, fmt.Errorf("read the log of shard %d: %w", shard, err)
		}
	}
	return d, nil
}

func (d *deposits) read(ctx context.Context, from journal.Log, shard uint32) error {
	var reader entity.StoredReader
	var epoch uint64
	for next := uint64(1); ; {
		records, err := from.Read(ctx, shard, next, sampleBytes)
		if err != nil || len(records) == 0 {
			return err
		}
		for _, rec := range records {
			if rec.Number != next || rec.Epoch < epoch {
				return fmt.Errorf("record %d of epoch %d follows record %d of epoch %d", rec.Number, rec.Epoch, next-1, epoch)
			}
			next, epoch = next+1, rec.Epoch
			if err := reader.Each(rec, d.take); err != nil {
				return err
			}
		}
	}
}

func (d *deposits) take(s *entity.Stored) error {
	for i, e := range s.Events {
		msg, err := ledgers.Decode(e.Type, e.Payload)
		if err != nil {
			return err
		}
		payload := msg.(*wrapperspb.BytesValue).GetValue()
		if len(payload) < numberBytes {
			return fmt.Errorf("an event of %s has %d bytes; each begins with a number of %d", s.ID, len(payload), numberBytes)
		}
		number := binary.BigEndian.Uint64(payload)
		d.of[number] = append(d.of[number], deposited{s.ID, s.Version - uint64(len(s.Events)-1-i)})
		d.totals[s.ID]++
	}
	return nil
}

// audit compares what callers were told with what the logs and the entities hold.
func (t *trial) audit(f *FaultFigures, totals []uint64, log deposits) error {
	unknown := make([]uint64, t.fault.Entities)
	for i, s := range t.loop.samples() {
		f.Commands++
		stored := log.of[uint64(i)] //nolint:gosec // a count
		if len(stored) > 1 {
			f.Doubled++
		}
		if s.err == nil && (len(stored) == 0 || stored[0] != deposited{entityID(s.entity), s.version}) {
			f.Lost++
			t.fault.Logger.Error("a command was acknowledged and is not in the log", "entity", entityID(s.entity), "version", s.version, "log", stored)
		}
		if s.err != nil {
			t.tell(f.Errors, s)
			f.Errors++
		}
		if s.mayHaveRun() {
			unknown[s.entity]++
		} else if s.err != nil && len(stored) > 0 {
			return fmt.Errorf("a command to %s is in the log although its caller was told that it did not run: %w", entityID(s.entity), s.err)
		}
	}
	for i, total := range totals { // what is unknown may have come after the question
		if stored := log.totals[entityID(i)]; stored < total || stored > total+unknown[i] {
			return fmt.Errorf("entity %s says that it has %d events, the log has %d", entityID(i), total, stored)
		}
	}
	return nil
}

// toldErrors is how many errors of a run are told; the first ones are enough.
const toldErrors = 5

func (t *trial) tell(already int, s sample) {
	if already < toldErrors {
		t.fault.Logger.LogAttrs(context.Background(), slog.LevelWarn, "a command had no reply", slog.String("entity", entityID(s.entity)),
			slog.Duration("after_fault", s.due-t.after.from), slog.Duration("took", s.latency()), slog.Any("error", s.err))
	}
}

// MedianFault returns the median of each figure over runs of one fault, and the sums of what must not be. runs is not empty.
func MedianFault(runs []FaultFigures) FaultFigures {
	if len(runs) == 1 {
		return runs[0]
	}
	m := runs[len(runs)-1]
	m.Runs = runs
	for _, field := range []func(*FaultFigures) *float64{
		func(f *FaultFigures) *float64 { return &f.FirstAnswer },
		func(f *FaultFigures) *float64 { return &f.AllAnswer },
		func(f *FaultFigures) *float64 { return &f.Longest },
		func(f *FaultFigures) *float64 { return &f.P50 },
		func(f *FaultFigures) *float64 { return &f.P99 },
		func(f *FaultFigures) *float64 { return &f.QuietLongest },
		func(f *FaultFigures) *float64 { return &f.QuietP50 },
		func(f *FaultFigures) *float64 { return &f.QuietP99 },
		func(f *FaultFigures) *float64 { return &f.Leave },
		func(f *FaultFigures) *float64 { return &f.Busy },
		func(f *FaultFigures) *float64 { return &f.QuietBusy },
	} {
		var all []float64
		for i := range runs {
			all = append(all, *field(&runs[i]))
		}
		*field(&m) = median(all)
	}
	for _, r := range runs[:len(runs)-1] {
		m.Commands, m.Errors, m.Lost, m.Doubled = m.Commands+r.Commands, m.Errors+r.Errors, m.Lost+r.Lost, m.Doubled+r.Doubled
	}
	return m
}
