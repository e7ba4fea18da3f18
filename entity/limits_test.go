package entity_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// steppedClock is a clock that a test moves.
type steppedClock struct {
	mu  sync.Mutex
	now time.Time
}

func newSteppedClock() *steppedClock { return &steppedClock{now: time.Unix(1_700_000_000, 0)} }

func (c *steppedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *steppedClock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// eventually waits for a condition that other goroutines bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never happened: " + what)
		}
	}
}

func live(t *testing.T, h *entity.Host) (n int) {
	t.Helper()
	shards, err := h.Shards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shards {
		n += s.Live
	}
	return n
}

func add(t *testing.T, h *entity.Host, id string, v int64) {
	t.Helper()
	if _, err := addTo.Ask(long(t), tallies.Ref(h, id), wrapperspb.Int64(v)); err != nil {
		t.Fatal(err)
	}
}

func sumOf(t *testing.T, h *entity.Host, id string) int64 {
	t.Helper()
	got, err := sum.Ask(long(t), tallies.Ref(h, id), &emptypb.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	return got.GetValue()
}

func TestIdleEntitiesLeaveMemoryAndComeBack(t *testing.T) {
	t.Parallel()
	h := startHost(t, journal.NewMemory(), func(c *entity.Config) { c.IdleAfter = 50 * time.Millisecond })
	for i := range 50 {
		add(t, h, fmt.Sprint(i), int64(i))
	}
	eventually(t, "all entities are passive", func() bool { return live(t, h) == 0 })
	for i := range 50 {
		if got := sumOf(t, h, fmt.Sprint(i)); got != int64(i) {
			t.Errorf("entity %d came back with the sum %d", i, got)
		}
	}
}

func TestTheBudgetOfLiveEntitiesIsKept(t *testing.T) {
	t.Parallel()
	h := startHost(t, journal.NewMemory(), func(c *entity.Config) { c.MaxLive = 20 })
	for round := range 3 {
		for i := range 300 {
			add(t, h, fmt.Sprint(i), 1)
		}
		eventually(t, "the node is near its budget", func() bool {
			add(t, h, "0", 0) // pressure is felt when an entity comes
			add(t, h, fmt.Sprintf("extra-%d", time.Now().UnixNano()), 0)
			return live(t, h) <= 30
		})
		if got := sumOf(t, h, "7"); got != int64(round+1) {
			t.Fatalf("round %d: the sum is %d", round, got)
		}
	}
}

func TestASnapshotShortensRecovery(t *testing.T) {
	t.Parallel()
	j := journal.NewMemory()
	clock := newSteppedClock()
	h := startHost(t, j, func(c *entity.Config) { c.Clock = clock.Now })
	for range 20 {
		add(t, h, "a", 1)
		clock.step(2 * time.Second)
	}
	stopHost(t, h)
	found, err := j.Snapshots(t.Context(), journal.Entity{Type: "tally", ID: "a"})
	if err != nil || len(found) != 2 {
		t.Fatalf("%d snapshots, %v; two are kept", len(found), err)
	}
	h = startHost(t, j, func(c *entity.Config) { c.Clock = clock.Now })
	if got := sumOf(t, h, "a"); got != 20 {
		t.Fatalf("the sum is %d after recovery from a snapshot", got)
	}
}

func TestASmallEntityIsNotWrittenAsASnapshot(t *testing.T) {
	t.Parallel()
	const least = 2000
	of := journal.Entity{Type: "tally", ID: "a"}
	for _, commands := range []int{5, 100} {
		j := journal.NewMemory()
		clock := newSteppedClock()
		h := startHost(t, j, func(c *entity.Config) { c.Clock, c.SnapshotBytes = clock.Now, least })
		for range commands {
			add(t, h, of.ID, 1)
			clock.step(2 * time.Second)
		}
		stopHost(t, h)
		found, err := j.Snapshots(t.Context(), of)
		stored := pageBytes(t, j, of)
		if err != nil || (len(found) > 0) != (stored > 2*least) {
			t.Errorf("%d snapshots of an entity that stored %d bytes, %v; it needs %d", len(found), stored, err, least)
		}
	}
}

func pageBytes(t *testing.T, j journal.Journal, of journal.Entity) (bytes int) {
	t.Helper()
	if err := j.Pages(t.Context(), of, 0, func(p journal.Page) error { bytes += len(p.Body); return nil }); err != nil {
		t.Fatal(err)
	}
	return bytes
}

func TestASlowCommandIsLoggedWithItsPhases(t *testing.T) {
	t.Parallel()
	var out lockedBuffer
	h := startHost(t, journal.NewMemory(), func(c *entity.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&out, nil))
		c.SlowAfter = time.Nanosecond
	})
	add(t, h, "a", 1)
	eventually(t, "the line is written", func() bool { return strings.Contains(out.String(), "slow command") })
	for _, phase := range []string{"queued=", "recovering=", "handling=", "storing="} {
		if !strings.Contains(out.String(), phase) {
			t.Errorf("the line names no %s: %s", phase, out.String())
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// stuckJournal holds appends back until it is let go.
type stuckJournal struct {
	journal.Journal
	asked chan struct{} // holds something when an append is held back
	stuck chan struct{}
}

func newStuckJournal() stuckJournal {
	return stuckJournal{journal.NewMemory(), make(chan struct{}, 1), make(chan struct{})}
}

func (s stuckJournal) Append(ctx context.Context, at uint32, r journal.Record) (journal.Slot, error) {
	if !r.Claim {
		select {
		case s.asked <- struct{}{}:
		default:
		}
		select {
		case <-s.stuck:
		case <-ctx.Done():
			return journal.Slot{}, ctx.Err()
		}
	}
	return s.Journal.Append(ctx, at, r)
}

func TestAStuckJournalMakesOutcomesUnknownAndLosesNothing(t *testing.T) {
	t.Parallel()
	j := newStuckJournal()
	h := startHost(t, j, nil)
	ctx, giveUp := context.WithCancel(long(t))
	go func() { <-j.asked; giveUp() }()
	ref := tallies.Ref(h, "a")
	if _, err := addTo.Ask(ctx, ref, wrapperspb.Int64(5), entity.Key("k")); !errors.Is(err, entity.ErrUnknownOutcome) {
		t.Fatalf("while the journal is stuck: %v", err)
	}
	if _, err := sum.Ask(patient{t.Context(), time.Now().Add(100 * time.Millisecond)}, ref, &emptypb.Empty{}); !errors.Is(err, entity.ErrUnavailable) && !errors.Is(err, entity.ErrUnknownOutcome) {
		t.Fatalf("a query while the journal is stuck: %v", err)
	}
	close(j.stuck)
	var receipt entity.Receipt
	got, err := addTo.Ask(long(t), ref, wrapperspb.Int64(5), entity.Key("k"), entity.Receive(&receipt))
	if err != nil || got.GetValue() != 5 || !receipt.Repeated {
		t.Fatalf("the same key again: %v, %v, %+v", got, err, receipt)
	}
}

func TestBeyondTheBoundCallersAreToldBusyAtOnce(t *testing.T) {
	t.Parallel()
	j := newStuckJournal()
	h := startHost(t, j, func(c *entity.Config) { c.Shards, c.MaxPending = 1, 10 })
	results := make(chan error, 30)
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			_, err := addTo.Ask(long(t), tallies.Ref(h, "a"), wrapperspb.Int64(1))
			results <- err
		})
	}
	for range 20 {
		if err := <-results; !errors.Is(err, entity.ErrBusy) {
			t.Errorf("beyond the bound: %v", err)
		}
	}
	close(j.stuck)
	wg.Wait()
	for range 10 {
		if err := <-results; err != nil {
			t.Errorf("within the bound: %v", err)
		}
	}
	if got := sumOf(t, h, "a"); got != 10 {
		t.Errorf("the sum is %d; those told busy must not run", got)
	}
}

func TestAnotherCountOfShardsIsRefused(t *testing.T) {
	t.Parallel()
	j := journal.NewMemory()
	stopHost(t, startHost(t, j, nil))
	_, err := entity.Start(t.Context(), entity.Config{Journal: j, Types: []entity.Definition{tallies}, Shards: 8})
	if !errors.Is(err, entity.ErrShardCount) || !strings.Contains(err.Error(), "4") {
		t.Fatalf("8 shards on a journal of 4: %v", err)
	}
}

func TestAClockThatJumpedIsRefusedUnlessAccepted(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{-48 * time.Hour, 48 * time.Hour} {
		j := journal.NewMemory()
		clock := newSteppedClock()
		h := startHost(t, j, func(c *entity.Config) { c.Clock = clock.Now })
		add(t, h, "a", 1)
		stopHost(t, h)
		clock.step(jump)
		cfg := entity.Config{Journal: j, Types: []entity.Definition{tallies}, Clock: clock.Now}
		if _, err := entity.Start(t.Context(), cfg); !errors.Is(err, entity.ErrClockJump) {
			t.Fatalf("a jump of %v: %v", jump, err)
		}
		h = startHost(t, j, func(c *entity.Config) { c.Clock, c.AcceptClock = clock.Now, true })
		if _, err := resetLater.Ask(long(t), tallies.Ref(h, "a"), wrapperspb.UInt32(1)); err != nil {
			t.Fatal(err)
		}
		info, err := h.Inspect(t.Context(), "tally", "a", nil)
		if err != nil || len(info.Timers) != 1 || info.Timers[0].Due.Sub(clock.Now()).Abs() > time.Second {
			t.Fatalf("a jump of %v: the shard's time did not follow: %+v, %v", jump, info, err)
		}
	}
}

func TestAFailingTimerIsRetriedVisibleAndNotOvertaken(t *testing.T) {
	t.Parallel()
	h := startHost(t, journal.NewMemory(), func(c *entity.Config) { c.Types = []entity.Definition{bombs} })
	ref := bombs.Ref(h, "a")
	if _, err := light.Ask(long(t), ref, wrapperspb.Int64(1)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the failure is visible", func() bool {
		info, err := h.Inspect(t.Context(), "bomb", "a", nil)
		return err == nil && len(info.Timers) == 1 && info.Timers[0].Attempts >= 2 && strings.Contains(info.Timers[0].LastError, "wet powder")
	})
	if _, err := look.Ask(long(t), ref, &emptypb.Empty{}); !errors.Is(err, entity.ErrFailed) || !strings.Contains(err.Error(), "fuse") {
		t.Errorf("a query that would overtake the timer: %v", err)
	}
}

type bomb struct{ Lit bool }

var (
	light = entity.On(func(_ bomb, c entity.Command[*wrapperspb.Int64Value]) (entity.Effect, *emptypb.Empty, error) {
		return entity.Persist(c.Msg).Remind("fuse", c.Time, wrapperspb.Bool(true)), &emptypb.Empty{}, nil
	})
	explode = entity.On(func(bomb, entity.Command[*wrapperspb.BoolValue]) (entity.Effect, *emptypb.Empty, error) {
		return entity.None, nil, errors.New("wet powder")
	})
	look = entity.Query(func(s bomb, _ entity.Command[*emptypb.Empty]) (*wrapperspb.BoolValue, error) {
		return wrapperspb.Bool(s.Lit), nil
	})
	bombs = entity.Define[bomb]("bomb", light, explode, look,
		entity.Apply(func(bomb, *wrapperspb.Int64Value) bomb { return bomb{true} }))
)

func TestInspectShowsAnyVersion(t *testing.T) {
	t.Parallel()
	h := startHost(t, journal.NewMemory(), nil)
	for i := range 4 {
		_, err := addTo.Ask(long(t), tallies.Ref(h, "a/b"), wrapperspb.Int64(int64(i)), entity.Key(fmt.Sprint("k", i)), entity.As("ann"), entity.Traced("00-1-1-00"))
		if err != nil {
			t.Fatal(err)
		}
	}
	at := uint64(3)
	info, err := h.Inspect(t.Context(), "tally", "a/b", &at)
	if err != nil {
		t.Fatal(err)
	}
	if string(info.State) != `{"Sum":3,"N":3}` || len(info.Events) != 3 || len(info.Window) != 3 {
		t.Errorf("at version 3: %s, %d events, %d keys", info.State, len(info.Events), len(info.Window))
	}
	if ev := info.Events[2]; ev.Principal != "ann" || ev.Key != "k2" || ev.Trace != "00-1-1-00" || string(ev.Data) != `"2"` {
		t.Errorf("the third event: %+v", ev)
	}
	at = 9
	if _, err := h.Inspect(t.Context(), "tally", "a/b", &at); !errors.Is(err, entity.ErrMalformed) {
		t.Errorf("a version that is not there: %v", err)
	}
}

func TestAHandlerThatNeverReturnsDoesNotKeepTheHostFromStopping(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	hang := entity.On(func(_ bomb, _ entity.Command[*emptypb.Empty]) (entity.Effect, *emptypb.Empty, error) {
		close(entered)
		<-release
		return entity.None, &emptypb.Empty{}, nil
	})
	hangers := entity.Define[bomb]("hanger", hang)
	h, err := entity.Start(t.Context(), entity.Config{Journal: journal.NewMemory(), Types: []entity.Definition{hangers}, Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	short, giveUp := context.WithCancel(long(t))
	go func() { <-entered; giveUp() }()
	if _, err := hang.Ask(short, hangers.Ref(h, "a"), &emptypb.Empty{}); !errors.Is(err, entity.ErrUnknownOutcome) {
		t.Errorf("a handler that hangs: %v", err)
	}
	if err := h.Stop(short); err == nil || !strings.Contains(err.Error(), "does not return") {
		t.Errorf("stopping with a handler that hangs: %v", err)
	}
	close(release)
}

// limitedJournal takes records of up to 40 kB.
type limitedJournal struct{ journal.Journal }

func (limitedJournal) MaxRecord() int { return 40_000 }

func TestRecordsStayWithinHalfOfTheJournalsLimit(t *testing.T) {
	t.Parallel()
	j := limitedJournal{journal.NewMemory()}
	_, err := entity.Start(t.Context(), entity.Config{Journal: j, Types: []entity.Definition{tallies}, MaxRecordBytes: 20_001})
	if err == nil || !strings.Contains(err.Error(), "MaxRecordBytes") {
		t.Errorf("more than half of the limit: %v", err)
	}
	h := startHost(t, j, func(c *entity.Config) { c.Types = []entity.Definition{blobs} })
	_, err = write.Ask(long(t), blobs.Ref(h, "a"), wrapperspb.Bytes(make([]byte, 19_000)))
	if err != nil {
		t.Errorf("a command that fits: %v", err)
	}
	_, err = write.Ask(long(t), blobs.Ref(h, "a"), wrapperspb.Bytes(make([]byte, 20_000)))
	if !errors.Is(err, entity.ErrTooLarge) {
		t.Errorf("a command that does not fit: %v", err)
	}
}

func TestInspectSaysWhenAVersionLiesInsideACommand(t *testing.T) {
	t.Parallel()
	pair := entity.On(func(_ bomb, c entity.Command[*wrapperspb.Int64Value]) (entity.Effect, *emptypb.Empty, error) {
		return entity.Persist(c.Msg, c.Msg), &emptypb.Empty{}, nil
	})
	pairs := entity.Define[bomb]("pair", pair, entity.Apply(func(bomb, *wrapperspb.Int64Value) bomb { return bomb{true} }))
	h := startHost(t, journal.NewMemory(), func(c *entity.Config) { c.Types = []entity.Definition{pairs} })
	if _, err := pair.Ask(long(t), pairs.Ref(h, "a"), wrapperspb.Int64(1)); err != nil {
		t.Fatal(err)
	}
	at := uint64(1)
	if _, err := h.Inspect(t.Context(), "pair", "a", &at); err == nil || !strings.Contains(err.Error(), "versions 1 to 2") {
		t.Errorf("version 1 of 2 stored together: %v", err)
	}
}

func TestOnlyATimerMaySendItsCommand(t *testing.T) {
	t.Parallel()
	var (
		arm = entity.On(func(_ tally, c entity.Command[*wrapperspb.Int64Value]) (entity.Effect, *emptypb.Empty, error) {
			return entity.None.Remind("bell", c.Time, wrapperspb.Bool(true)), &emptypb.Empty{}, nil
		})
		ring = entity.OnTimer(func(_ tally, c entity.Command[*wrapperspb.BoolValue]) (entity.Effect, *emptypb.Empty, error) {
			return entity.Persist(wrapperspb.String(c.Timer)), &emptypb.Empty{}, nil
		})
		bells = entity.Define[tally]("bell", arm, ring,
			entity.Apply(func(s tally, _ *wrapperspb.StringValue) tally { return tally{N: s.N + 1} }))
	)
	h := startHost(t, journal.NewMemory(), func(c *entity.Config) { c.Types = []entity.Definition{bells} })
	_, err := h.Call(long(t), &entity.Request{Type: "bell", ID: "a", Command: "BoolValue"})
	if !errors.Is(err, entity.ErrUnknownCommand) {
		t.Errorf("a caller that sends a timer's command: %v", err)
	}
	if _, err := arm.Ask(long(t), bells.Ref(h, "a"), wrapperspb.Int64(1)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the bell rang", func() bool {
		info, err := h.Inspect(t.Context(), "bell", "a", nil)
		return err == nil && len(info.Events) == 1 && string(info.Events[0].Data) == `"bell"`
	})
}

func TestAPanicIsOneLineForTheCallerAndAStackForTheLog(t *testing.T) {
	t.Parallel()
	var out lockedBuffer
	h := startHost(t, journal.NewMemory(), func(c *entity.Config) { c.Logger = slog.New(slog.NewTextHandler(&out, nil)) })
	_, err := addTo.Ask(long(t), tallies.Ref(h, "a"), wrapperspb.Int64(666))
	if !errors.Is(err, entity.ErrFailed) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "beast") {
		t.Errorf("the caller is told: %v", err)
	}
	if !strings.Contains(out.String(), "goroutine") {
		t.Errorf("the log has no stack: %s", out.String())
	}
}

// fullJournal refuses appends while it is full, as one on a full disk does.
type fullJournal struct {
	journal.Journal
	full *atomic.Bool
}

func (f fullJournal) Append(ctx context.Context, at uint32, r journal.Record) (journal.Slot, error) {
	if f.full.Load() {
		return journal.Slot{}, fmt.Errorf("%w: %w", journal.ErrRefused, journal.ErrFull)
	}
	return f.Journal.Append(ctx, at, r)
}

func TestAFullDiskMakesCommandsUnavailableWhileReadsGoOn(t *testing.T) {
	t.Parallel()
	var full atomic.Bool
	h := startHost(t, fullJournal{journal.NewMemory(), &full}, nil)
	add(t, h, "a", 5)
	full.Store(true)
	for i := range 5 {
		_, err := addTo.Ask(long(t), tallies.Ref(h, "a"), wrapperspb.Int64(1), entity.Key(fmt.Sprint(i)))
		if !errors.Is(err, entity.ErrUnavailable) || !strings.Contains(err.Error(), "no room") {
			t.Errorf("a command on a full disk: %v", err)
		}
		if got := sumOf(t, h, "a"); got != 5 {
			t.Errorf("a query on a full disk: %d", got)
		}
	}
	full.Store(false)
	eventually(t, "commands are taken again", func() bool {
		_, err := addTo.Ask(long(t), tallies.Ref(h, "a"), wrapperspb.Int64(1), entity.Key("after"))
		return err == nil
	})
	if got := sumOf(t, h, "a"); got != 6 {
		t.Errorf("after the disk had room again the sum is %d: what was unavailable must not have run", got)
	}
}
