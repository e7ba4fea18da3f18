package entity_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/journaltest"
)

// operation is one call of a recorded history: a query, or a command that adds.
type operation struct {
	entity string
	query  bool
	add    int64
	key    string // of a command, where the caller gives one
}

// outcome is what the caller was told.
type outcome struct {
	sum                      int64
	rejected, never, unknown bool
}

// tallyModel is a tally as one caller at a time would see it.
var tallyModel = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{int64(0)} },
	Step: func(state, input, output any) []any {
		sum, in, out := state.(int64), input.(operation), output.(outcome)
		switch {
		case out.never:
			return []any{sum}
		case out.unknown:
			return []any{sum, sum + in.add}
		case out.rejected && in.add < 0, in.query && out.sum == sum:
			return []any{sum}
		case !out.rejected && !in.query && out.sum == sum+in.add:
			return []any{sum + in.add}
		}
		return nil
	},
}).ToModel()

// recording holds what concurrent callers did and heard.
type recording struct {
	mu    sync.Mutex
	ops   map[string][]porcupine.Operation
	start time.Time
}

func newRecording() *recording {
	return &recording{ops: map[string][]porcupine.Operation{}, start: time.Now()}
}

func (h *recording) record(client int, in operation, call func() (int64, error)) error {
	op := porcupine.Operation{ClientId: client, Input: in, Call: int64(time.Since(h.start))}
	sum, err := call()
	op.Return = int64(time.Since(h.start))
	var no *entity.Rejection
	out := outcome{sum: sum}
	switch {
	case errors.As(err, &no):
		out.rejected = true
	case errors.Is(err, entity.ErrUnavailable):
		out.never = true
	case errors.Is(err, entity.ErrUnknownOutcome):
		out.unknown = true
		op.Return = 1<<62 - 1 // it may still happen
	case err != nil:
		return err
	}
	op.Output = out
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops[in.entity] = append(h.ops[in.entity], op)
	return nil
}

func (h *recording) check(t *testing.T) {
	t.Helper()
	for _, v := range h.violations() {
		t.Error(v)
	}
}

// violations says which entities' histories no single tally could have had. Where the search takes too long, order
// decides, if the log is known; else nothing is said: the machine was too slow.
func (h *recording) violations(logs ...map[string][]logged) (found []string) {
	known, decided := 0, 0
	end := time.Now().Add(searchesTime)
	for name, ops := range h.ops {
		for _, op := range ops {
			if o := op.Output.(outcome); !o.never && !o.unknown {
				known++
			}
		}
		var told []string
		for _, log := range logs {
			told = append(told, inOrder(ops, log[name])...)
		}
		for _, what := range told {
			found = append(found, fmt.Sprintf("entity %q: %s", name, what))
		}
		result := porcupine.CheckOperationsTimeout(tallyModel, ops, min(searchTime, max(time.Until(end), time.Second)))
		if result == porcupine.Unknown && len(told) == 0 {
			continue // the log's order, where it is known, is a proof
		}
		if decided++; result != porcupine.Ok {
			found = append(found, fmt.Sprintf("the history of %q (%d operations) is not linearizable: %s", name, len(ops), result))
		}
	}
	if known == 0 || decided == 0 && len(logs) == 0 {
		found = append(found, fmt.Sprintf("%d operations were answered, %d histories decided: that shows nothing", known, decided))
	}
	return found
}

const (
	// searchTime bounds the search for an order of one entity's history.
	searchTime = time.Minute
	// searchesTime is that of all searches; those behind it have a second each.
	searchesTime = 3 * time.Minute
)

// load runs callers that add, are rejected, and query, against one of the hosts each time.
func load(t *testing.T, h *recording, hosts []*entity.Host, seed uint64, callers, each int) {
	t.Helper()
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(c)))
			for range each {
				host := hosts[rng.IntN(len(hosts))]
				in := operation{entity: fmt.Sprint(rng.IntN(3)), query: rng.IntN(3) == 0, add: int64(rng.IntN(12) - 2)}
				err := h.record(c, in, func() (int64, error) { return callTally(t, host, in) })
				if err != nil {
					t.Errorf("%+v: %v", in, err)
				}
			}
		})
	}
	wg.Wait()
}

func callTally(t *testing.T, host *entity.Host, in operation) (int64, error) {
	ref := tallies.Ref(host, in.entity)
	if in.query {
		got, err := sum.Ask(long(t), ref, &emptypb.Empty{})
		return got.GetValue(), err
	}
	got, err := addTo.Ask(long(t), ref, wrapperspb.Int64(in.add))
	return got.GetValue(), err
}

func TestAnswersAreLinearizable(t *testing.T) {
	t.Parallel()
	h := newRecording()
	host := startHost(t, journal.NewMemory(), nil)
	load(t, h, []*entity.Host{host}, 1, 16, 150)
	h.check(t)
}

func TestAnswersAreLinearizableOverAFlakyJournal(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			flaky := journaltest.NewFlaky(journal.NewMemory(), journaltest.Faults{
				Seed: seed, Stall: 10, Refuse: 5, Lose: 5, Forget: 10, Late: 5,
			})
			h := newRecording()
			host := startHost(t, flaky, nil)
			load(t, h, []*entity.Host{host}, seed, 8, 60)
			h.check(t)
			if flaky.Injected() == 0 {
				t.Error("no fault was injected")
			}
		})
	}
}

// Two hosts believe that they own every shard of one journal. Claims go back and forth with
// each new host, and no membership saves anybody.
func TestTwoOwnersCannotBothAnswer(t *testing.T) {
	t.Parallel()
	j := journal.NewMemory()
	h := newRecording()
	first := startHost(t, j, nil)
	load(t, h, []*entity.Host{first}, 1, 8, 40)
	hosts := []*entity.Host{first}
	for round := range uint64(4) {
		var wg sync.WaitGroup
		wg.Go(func() { load(t, h, slices.Clone(hosts), round, 8, 60) })
		next := startHost(t, j, nil)
		wg.Wait()
		hosts = []*entity.Host{hosts[len(hosts)-1], next}
		load(t, h, hosts, round+100, 8, 60)
	}
	h.check(t)
	info, err := first.Shards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(info, func(s entity.ShardInfo) bool { return s.Phase == "fenced" }) {
		t.Error("the first host was never fenced: the owners did not meet")
	}
}
