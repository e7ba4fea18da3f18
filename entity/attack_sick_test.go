package entity_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

var errSick = errors.New("a part of the database is sick")

// sick is a journal of which parts can be made sick.
type sick struct {
	journal.Journal

	mu      sync.Mutex
	frozen  chan struct{}                                            // closed when it thaws; nil if it is not frozen
	derive  chan struct{}                                            // the same for derived writes alone
	pages   map[string]bool                                          // ids of entities whose pages cannot be written
	appends map[uint32]bool                                          // shards whose appends end unknown, and are not stored
	reads   func(what string, of journal.Entity, shard uint32) error // what a read fails with

	underWay, most atomic.Int64 // appends: now, and the most at a time
}

func newSick(j journal.Journal) *sick {
	return &sick{Journal: j, pages: map[string]bool{}, appends: map[uint32]bool{}}
}

func (s *sick) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *sick) freeze(on bool)       { s.change(func() { s.frozen = gated(s.frozen, on) }) }
func (s *sick) freezeDerive(on bool) { s.change(func() { s.derive = gated(s.derive, on) }) }

func gated(gate chan struct{}, shut bool) chan struct{} {
	if shut {
		return make(chan struct{})
	}
	close(gate)
	return nil
}

// wait waits while it is frozen.
func (s *sick) wait(ctx context.Context, which func() chan struct{}) error {
	s.mu.Lock()
	gate := which()
	s.mu.Unlock()
	if gate == nil {
		return ctx.Err()
	}
	select {
	case <-gate:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *sick) whole() chan struct{}   { return s.frozen }
func (s *sick) derived() chan struct{} { return s.derive }

// read waits while it is frozen, and fails if it is to.
func (s *sick) read(ctx context.Context, what string, of journal.Entity, shard uint32) error {
	if err := s.wait(ctx, s.whole); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reads == nil {
		return nil
	}
	return s.reads(what, of, shard)
}

func (s *sick) Append(ctx context.Context, shard uint32, rec journal.Record) (journal.Slot, error) {
	n := s.underWay.Add(1)
	defer s.underWay.Add(-1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	if err := s.wait(ctx, s.whole); err != nil {
		return journal.Slot{}, err
	}
	s.mu.Lock()
	fails := s.appends[shard]
	s.mu.Unlock()
	if fails && !rec.Claim {
		select {
		case <-time.After(5 * time.Millisecond): // the time of a timeout
		case <-ctx.Done():
		}
		return journal.Slot{}, errSick
	}
	return s.Journal.Append(ctx, shard, rec)
}

func (s *sick) Tail(ctx context.Context, shard uint32, number uint64) (journal.Slot, error) {
	if err := s.read(ctx, "tail", journal.Entity{}, shard); err != nil {
		return journal.Slot{}, err
	}
	return s.Journal.Tail(ctx, shard, number)
}

func (s *sick) Read(ctx context.Context, shard uint32, from uint64, most int) ([]journal.Record, error) {
	if err := s.read(ctx, "log", journal.Entity{}, shard); err != nil {
		return nil, err
	}
	return s.Journal.Read(ctx, shard, from, most)
}

func (s *sick) Pages(ctx context.Context, of journal.Entity, after uint64, visit func(journal.Page) error) error {
	if err := s.read(ctx, "pages", of, 0); err != nil {
		return err
	}
	return s.Journal.Pages(ctx, of, after, visit)
}

func (s *sick) Snapshots(ctx context.Context, of journal.Entity) ([]journal.Snapshot, error) {
	if err := s.read(ctx, "snapshots", of, 0); err != nil {
		return nil, err
	}
	return s.Journal.Snapshots(ctx, of)
}

func (s *sick) Derive(ctx context.Context, d journal.Derived) error {
	if err := s.wait(ctx, s.derived); err != nil {
		return err
	}
	behind := &journal.BehindError{Err: errSick}
	var kept []journal.Page
	s.mu.Lock()
	for _, p := range d.Pages {
		if s.pages[p.Of.ID] {
			behind.Entities = append(behind.Entities, p.Of)
		} else {
			kept = append(kept, p)
		}
	}
	s.mu.Unlock()
	d.Pages = kept
	if len(behind.Entities) == 0 {
		return s.Journal.Derive(ctx, d)
	}
	d.UpTo = 0
	if err := s.Journal.Derive(ctx, d); err != nil {
		return err
	}
	return behind
}

// diary is an entity of which each command stores many bytes.
type diary struct{ Bytes, Notes int64 }

var (
	note = entity.On(func(s diary, c entity.Command[*wrapperspb.BytesValue]) (entity.Effect, *wrapperspb.Int64Value, error) {
		return entity.Persist(c.Msg), wrapperspb.Int64(s.Notes + 1), nil
	})
	notes = entity.Query(func(s diary, _ entity.Command[*emptypb.Empty]) (*wrapperspb.Int64Value, error) {
		return wrapperspb.Int64(s.Notes), nil
	})
	diaries = entity.Define[diary]("diary", note, notes,
		entity.Apply(func(s diary, e *wrapperspb.BytesValue) diary {
			return diary{s.Bytes + int64(len(e.GetValue())), s.Notes + 1}
		}),
	)
)

// manyShards makes the share of one shard in the node's unflushed bytes as small as it can be: 1 MiB.
const manyShards, shardShare = 256, 1 << 20

// diaryHost has as many shards as make each one's bounds small.
func diaryHost(t *testing.T, j journal.Journal) *entity.Host {
	t.Helper()
	return startHost(t, j, func(c *entity.Config) {
		c.Types, c.Shards, c.MaxPending = []entity.Definition{diaries}, manyShards, 64
	})
}

const noteBytes = 8 << 10

func writeNote(ctx context.Context, h *entity.Host, id string) error {
	_, err := note.Ask(ctx, diaries.Ref(h, id), wrapperspb.Bytes(make([]byte, noteBytes)))
	return err
}

// fill writes to an entity, one note after the other, until one is not taken although others were before it, and returns
// how many were. Each has the owner's word for what became of it.
func fill(t *testing.T, h *entity.Host, id string, most int) (taken int64, err error) {
	t.Helper()
	for n := range most {
		for wait := 300 * time.Millisecond; wait < time.Minute; wait *= 4 { // it may also be the machine that has no time
			ctx := patient{t.Context(), time.Now().Add(wait)}
			_, err = note.Ask(ctx, diaries.Ref(h, id), wrapperspb.Bytes(make([]byte, noteBytes)), entity.Key(fmt.Sprint("fill-", n)))
			if err == nil || taken >= shardShare/2/noteBytes && errors.Is(err, entity.ErrUnavailable) {
				break
			}
		}
		if err != nil {
			return taken, err
		}
		taken++
	}
	return taken, nil
}

func notesOf(t *testing.T, h *entity.Host, id string) int64 {
	t.Helper()
	got, err := notes.Ask(long(t), diaries.Ref(h, id), &emptypb.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	return got.GetValue()
}

// unflushed is the most that any shard holds.
func unflushed(t *testing.T, h *entity.Host) (most int) {
	t.Helper()
	shards, err := h.Shards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shards {
		most = max(most, s.UnflushedBytes)
	}
	return most
}

func TestStalledDerivedWritesPushBackAndLoseNothing(t *testing.T) {
	t.Parallel()
	memory := journal.NewMemory()
	j := newSick(memory)
	h := diaryHost(t, j)
	j.freezeDerive(true)
	taken, err := fill(t, h, "a", 10*shardShare/noteBytes)
	if !errors.Is(err, entity.ErrUnavailable) {
		t.Fatalf("after %d notes: %v; the pages stand still, so commands must wait and end unavailable", taken, err)
	}
	if n := unflushed(t, h); n > shardShare+4*noteBytes || n < shardShare/2 {
		t.Errorf("%d bytes wait for their pages; the bound is %d", n, shardShare)
	}
	taken += callersAreBusy(t, h, j)
	eventually(t, "commands are taken again", func() bool {
		err := writeNote(long(t), h, "a")
		if err == nil {
			taken++
		}
		return err == nil
	})
	if got := notesOf(t, h, "a"); got != taken {
		t.Errorf("%d notes were taken, %d are there", taken, got)
	}
	next := diaryHost(t, memory) // takes over, from pages and the log's tail
	if got := notesOf(t, next, "a"); got != taken {
		t.Errorf("%d notes were taken, %d are in the journal", taken, got)
	}
}

// callersAreBusy fills the queue behind the stall, sees that those beyond it are told busy at once, ends the stall and
// returns how many of the queue were taken then.
func callersAreBusy(t *testing.T, h *entity.Host, j *sick) int64 {
	t.Helper()
	const queue, beyond = 64, 8
	var calls sync.WaitGroup
	var taken atomic.Int64
	busy := make(chan struct{}, queue+beyond)
	for range queue + beyond {
		calls.Go(func() {
			switch err := writeNote(long(t), h, "a"); {
			case errors.Is(err, entity.ErrBusy):
				busy <- struct{}{}
			case err == nil:
				taken.Add(1)
			default:
				t.Errorf("behind the stall: %v", err)
			}
		})
	}
	for range beyond {
		select {
		case <-busy:
		case <-time.After(50 * time.Second): // before any deadline
			t.Error("the queue is full, and callers wait")
		}
	}
	j.freezeDerive(false)
	calls.Wait()
	return taken.Load()
}

// sameShard returns an id in the same shard as another.
func sameShard(t *testing.T, h *entity.Host, id string) string {
	t.Helper()
	want := shardOf(t, h, id)
	for n := range 100_000 {
		if other := fmt.Sprint("other-", n); shardOf(t, h, other) == want {
			return other
		}
	}
	t.Fatal("no second id in that shard")
	return ""
}

func shardOf(t *testing.T, h *entity.Host, id string) uint32 {
	t.Helper()
	info, err := h.Inspect(t.Context(), "diary", id, nil)
	if err != nil {
		t.Fatal(err)
	}
	return info.Shard
}

// The pages of one entity cannot be written; those of its neighbour in the shard can.
func TestAnEntityWithoutPagesHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	memory := journal.NewMemory()
	j := newSick(memory)
	h := diaryHost(t, j)
	neighbour := sameShard(t, h, "a")
	j.change(func() { j.pages["a"] = true })

	taken := int64(0)
	var refused error
	const each = 6 * shardShare / noteBytes // many times what the shard may hold unflushed
	for n := range each {
		if err := writeNote(long(t), h, neighbour); err != nil {
			t.Fatalf("note %d of the neighbour: %v", n, err)
		}
		if refused == nil {
			if refused = writeNote(long(t), h, "a"); refused == nil {
				taken++
			}
		}
	}
	if !errors.Is(refused, entity.ErrUnavailable) {
		t.Errorf("after %d notes the entity whose pages cannot be written is told: %v", taken, refused)
	}
	if n := unflushed(t, h); n > 2*shardShare {
		t.Errorf("%d bytes wait for their pages", n)
	}
	if got := notesOf(t, h, "a"); got != taken {
		t.Errorf("%d notes were taken, %d are there", taken, got)
	}

	next := diaryHost(t, j) // takes over while it is sick
	if got := notesOf(t, next, "a"); got != taken {
		t.Errorf("%d notes were taken; whoever takes over finds %d", taken, got)
	}
	if err := writeNote(long(t), next, "a"); !errors.Is(err, entity.ErrUnavailable) {
		t.Errorf("whoever takes over takes more notes than it can keep: %v", err)
	}
	j.change(func() { j.pages["a"] = false })
	eventually(t, "it is taken again once it is well", func() bool { return writeNote(long(t), next, "a") == nil })
	if got := notesOf(t, next, neighbour); got != each {
		t.Errorf("the neighbour has %d notes, not %d", got, each)
	}
	if got := notesOf(t, diaryHost(t, memory), "a"); got != taken+1 {
		t.Errorf("%d notes were taken, %d are in the journal", taken+1, got)
	}
}

// Appends of most shards end unknown for ever. The others share what the node may have under way, and go on.
func TestShardsThatAreSickHoldUpNoOther(t *testing.T) {
	t.Parallel()
	const shards, well, slots, retries = 16, 4, 2, 4
	memory := journal.NewMemory()
	j := newSick(memory)
	h := startHost(t, j, func(c *entity.Config) { c.Shards, c.MaxAppends = shards, slots })
	j.change(func() {
		for i := range uint32(shards - well) {
			j.appends[i] = true
		}
	})
	var ids [shards]string
	for n := 0; n < 1000; n++ {
		info, err := h.Inspect(t.Context(), "tally", fmt.Sprint(n), nil)
		if err != nil {
			t.Fatal(err)
		}
		ids[info.Shard] = fmt.Sprint(n)
	}
	j.most.Store(0)
	ctx, giveUp := context.WithCancel(long(t))
	var sickCalls, wellCalls sync.WaitGroup
	for i, id := range ids {
		if i < shards-well {
			sickCalls.Go(func() {
				_, err := addTo.Ask(ctx, tallies.Ref(h, id), wrapperspb.Int64(1), entity.Key("k"))
				if !errors.Is(err, entity.ErrUnknownOutcome) {
					t.Errorf("a command of a sick shard: %v", err)
				}
			})
			continue
		}
		wellCalls.Go(func() {
			for range 200 {
				add(t, h, id, 1)
			}
		})
	}
	wellCalls.Wait()
	if most := j.most.Load(); most > slots+retries {
		t.Errorf("%d appends were under way at a time; the bound is %d, and %d for repeats", most, slots, retries)
	}
	giveUp()
	sickCalls.Wait()
	j.change(func() { clear(j.appends) })
	for i, id := range ids[:shards-well] {
		if _, err := addTo.Ask(long(t), tallies.Ref(h, id), wrapperspb.Int64(1), entity.Key("k")); err != nil || sumOf(t, h, id) != 1 {
			t.Errorf("shard %d, well again: %v, the sum is %d", i, err, sumOf(t, h, id))
		}
	}
}

// What an entity is rebuilt from cannot be read for a while, for ever, or is damaged.
func TestRecoveryTellsWhatCannotBeReadFromWhatIsDamaged(t *testing.T) {
	t.Parallel()
	damaged := fmt.Errorf("%w: a checksum", journal.ErrCorrupt)
	for _, p := range []struct {
		name, what string
		fails      error
		times      int
		want       error // nil: it is answered
	}{
		{"pages cannot be read for a while", "pages", errSick, 3, nil},
		{"snapshots cannot be read for a while", "snapshots", errSick, 3, nil},
		{"pages cannot be read", "pages", errSick, 1 << 30, entity.ErrUnavailable},
		{"snapshots cannot be read", "snapshots", errSick, 1 << 30, entity.ErrUnavailable},
		{"pages are damaged", "pages", damaged, 1 << 30, entity.ErrFailed},
		{"snapshots are damaged", "snapshots", damaged, 1 << 30, nil},
	} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			j := newSick(journal.NewMemory())
			h := startHost(t, j, nil)
			add(t, h, "a", 5)
			stopHost(t, h)
			tries := 0
			h = startHost(t, j, nil)
			j.change(func() {
				j.reads = func(what string, of journal.Entity, _ uint32) error {
					if what != p.what || of.ID != "a" || tries >= p.times {
						return nil
					}
					tries++
					return p.fails
				}
			})
			tried := func() (n int) { j.change(func() { n = tries }); return n }
			for {
				ctx := long(t)
				if p.want != nil {
					ctx = patient{t.Context(), time.Now().Add(outageWait)}
				}
				got, err := addTo.Ask(ctx, tallies.Ref(h, "a"), wrapperspb.Int64(1))
				switch {
				case p.want == nil && (err != nil || got.GetValue() != 6):
					t.Errorf("%v, %v; want 6", got, err)
				case p.want != nil && !errors.Is(err, p.want):
					t.Errorf("%v; want it to be %v", err, p.want)
				}
				if t.Failed() || !errors.Is(p.want, entity.ErrUnavailable) || tried() >= 2 {
					break
				} // else the machine was too slow to read twice before the deadline
			}
			if tried() == 0 {
				t.Error("it was never read: the test proves nothing")
			}
			add(t, h, "b", 1)
			if got := sumOf(t, h, "b"); got != 1 {
				t.Errorf("a neighbour has the sum %d", got)
			}
		})
	}
}
