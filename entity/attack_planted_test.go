package entity_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/journaltest"
)

// A journal that lies to its owner plants a defect as a host could have it. Of each the duel's checks must
// speak, and in the right words, or they prove nothing where they are silent.
func TestTheDuelFindsPlantedDefects(t *testing.T) {
	t.Parallel()
	for _, p := range []struct {
		defect, found string
		queries       int
		plant         func(journal.Journal) journal.Journal
	}{
		{"a slot that another took is told as one's own", "the log has it 0 times", 10, func(j journal.Journal) journal.Journal { return &greedy{Journal: j} }},
		{"the answer leaves before the append is under way", "the log has it 0 times", 10, func(j journal.Journal) journal.Journal { return &hasty{Journal: j} }},
		{"nobody looks whether the shard is still one's own", "is not linearizable", 90, func(j journal.Journal) journal.Journal { return blind{j} }},
		{"what is stored is told as refused", "is halted", 10, func(j journal.Journal) journal.Journal { return &denying{Journal: j} }},
	} {
		t.Run(p.defect, func(t *testing.T) {
			t.Parallel()
			var wrong []string
			for range 20 { // one in which little happens may miss it
				memory := journal.NewMemory()
				d := newDuel(duelPlan{
					owners: 2, callers: 12, entities: 4, shards: 2, queries: p.queries, held: 40 * time.Millisecond, patience: time.Second,
					journal: func(i int) (journal.Journal, error) { return p.plant(flaky(memory, uint64(i))), nil },
				})
				d.fight(t.Context(), time.Second)
				if wrong = d.verdict(t, memory); strings.Contains(strings.Join(wrong, "\n"), p.found) {
					return
				}
			}
			t.Errorf("the duel's checks do not say %q: %q", p.found, wrong)
		})
	}
}

// What the log holds of a command is held against what its caller was told.
func TestTheBookFindsWhatCannotBe(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]struct {
		told  []told
		is    kept
		wrong bool
	}{
		"answered and stored":                 {[]told{{"a", 5, false}}, kept{1, 1}, false},
		"answered and lost":                   {[]told{{"a", 5, false}}, kept{0, 0}, true},
		"answered and stored twice":           {[]told{{"a", 5, false}}, kept{2, 2}, true},
		"answered, and another answer later":  {[]told{{"a", 5, false}, {"a", 6, false}}, kept{1, 1}, true},
		"rejected":                            {[]told{{"a", 0, true}}, kept{1, 0}, false},
		"rejected and stored with an event":   {[]told{{"a", 0, true}}, kept{1, 1}, true},
		"rejected and then taken":             {[]told{{"a", 0, true}, {"a", 5, false}}, kept{1, 1}, true},
		"unknown and lost":                    {nil, kept{0, 0}, false},
		"unknown and stored":                  {nil, kept{1, 1}, false},
		"unknown and stored under two claims": {nil, kept{2, 2}, true},
	} {
		b := newAnswerBook()
		b.hear("k", "a", 0, entity.ErrUnknownOutcome)
		for _, answer := range p.told {
			var err error
			if answer.rejected {
				err = entity.Reject("no", "no")
			}
			b.hear("k", answer.entity, answer.reply, err)
		}
		b.compareOne("k", p.is)
		if (len(b.wrong) > 0) != p.wrong {
			t.Errorf("%s: the book says %q", name, b.wrong)
		}
	}
}

// flaky is one owner's way to a journal that several share, with faults of its own.
func flaky(j journal.Journal, seed uint64) journal.Journal {
	return waiting{journaltest.NewFlaky(j, journaltest.Faults{Seed: seed, Stall: 20, Refuse: 1, Lose: 2, Forget: 3, Late: 1})}
}

// waiting waits for what a Flaky still does, and leaves the journal behind it open.
type waiting struct{ *journaltest.Flaky }

func (w waiting) Close() error {
	w.Wait()
	return nil
}

// greedy takes a slot that is lost to another's claim for its own.
type greedy struct{ journal.Journal }

func (g *greedy) Append(ctx context.Context, shard uint32, rec journal.Record) (journal.Slot, error) {
	slot, err := g.Journal.Append(ctx, shard, rec)
	if err == nil && !rec.Claim && slot.Holder.Claim {
		slot.Holder = rec.Header
	}
	return slot, err
}

// hasty says that a record is stored and stores it afterwards, if it still can.
type hasty struct {
	journal.Journal
	mu     sync.Mutex
	behind sync.WaitGroup
	row    map[uint32]chan struct{} // of each shard: the append before
}

func (h *hasty) Append(ctx context.Context, shard uint32, rec journal.Record) (journal.Slot, error) {
	if rec.Claim {
		return h.Journal.Append(ctx, shard, rec)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.row == nil {
		h.row = map[uint32]chan struct{}{}
	}
	before, mine := h.row[shard], make(chan struct{})
	h.row[shard] = mine
	h.behind.Go(func() {
		defer close(mine)
		if before != nil {
			<-before
		}
		for range 10 {
			if _, err := h.Journal.Append(context.WithoutCancel(ctx), shard, rec); err == nil {
				return
			}
		}
	})
	return journal.Slot{Taken: true, Holder: rec.Header}, nil
}

func (h *hasty) Close() error {
	h.behind.Wait()
	return h.Journal.Close()
}

// blind finds every slot empty, so that every tail check confirms.
type blind struct{ journal.Journal }

func (blind) Tail(context.Context, uint32, uint64) (journal.Slot, error) {
	return journal.Slot{}, nil
}

// denying says of some records that they are not stored, and they are.
type denying struct {
	journal.Journal
	appends atomic.Int64
}

func (d *denying) Append(ctx context.Context, shard uint32, rec journal.Record) (journal.Slot, error) {
	slot, err := d.Journal.Append(ctx, shard, rec)
	if err == nil && !rec.Claim && slot.Holder.Batch == rec.Batch && d.appends.Add(1)%3 == 0 {
		return journal.Slot{}, journal.ErrRefused
	}
	return slot, err
}
