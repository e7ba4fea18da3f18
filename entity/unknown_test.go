package entity_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

func warnOfUnknown(c *entity.Config) { c.UnknownEvents = entity.WarnOfUnknownEvents }

// startError starts a host that is expected to refuse.
func startError(t *testing.T, j journal.Journal, types ...entity.Definition) error {
	t.Helper()
	h, err := entity.Start(t.Context(), entity.Config{Journal: j, Types: types, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		stopHost(t, h)
	}
	return err
}

func listedEvents(t testing.TB, j journal.Journal) []string {
	t.Helper()
	var names []string
	err := j.Settled(context.Background(), "event", func(name, _ string) error { names = append(names, name); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestUnknownEventsAreListedAllAtOnceAndRefused(t *testing.T) {
	t.Parallel()
	j := openPebble(t, t.TempDir())
	odd := entity.Define("odd/%2F name ü", storesNotes, entity.Apply(applyNote))
	h := startHost(t, j, func(c *entity.Config) { c.Types = []entity.Definition{odd, ledgers2, tallies} })
	addTo1(t, h, "a", 1)
	for _, req := range []*entity.Request{{Type: odd.Name(), ID: "1", Command: "UInt32Value"}, {Type: "tally", ID: "1", Command: "Int64Value"}, {Type: "tally", ID: "1", Command: "BoolValue"}} {
		if _, err := h.Call(long(t), req); err != nil {
			t.Fatal(err)
		}
	}
	stopHost(t, h)

	err := startError(t, j, ledgers1, entity.Define("tally", resetLater, entity.Apply(func(s tally, _ *wrapperspb.BoolValue) tally { return s })))
	if !errors.Is(err, entity.ErrUnknownEvents) {
		t.Fatalf("%v, want ErrUnknownEvents", err)
	}
	for _, part := range []string{
		`of "ledger": google.protobuf.Int64Value;`, `of "odd/%2F name ü", a type that is not in Config.Types: google.protobuf.StringValue;`,
		`of "tally": google.protobuf.Int64Value:`, "entity.Upcast", "WarnOfUnknownEvents",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v\nwant in it %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "BoolValue") {
		t.Errorf("%v\ntells of an event that is known", err)
	}
	h = startHost(t, j, func(c *entity.Config) { c.Types = []entity.Definition{ledgers3, tallies, odd} })
	wantCents(t, h, "a", 100)
}

func TestUnknownEventsSettingIsChecked(t *testing.T) {
	t.Parallel()
	_, err := entity.Start(t.Context(), entity.Config{Journal: journal.NewMemory(), Types: []entity.Definition{tallies}, UnknownEvents: 2})
	if err == nil || !strings.Contains(err.Error(), "Config.UnknownEvents") {
		t.Errorf("%v, want it to name the field", err)
	}
}

// A program of the first release runs for a while on a journal of the second, by its operator's wish.
func TestAnUnknownEventStopsItsEntityAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	release := func(def entity.Definition, change func(*entity.Config), use func(*entity.Host)) {
		t.Helper()
		j := openPebble(t, dir)
		h := startRelease(t, j, def, change)
		use(h)
		stopHost(t, h)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	release(ledgers1, nil, func(h *entity.Host) {
		addTo1(t, h, "both", 1)
		addTo1(t, h, "old", 1)
	})
	release(ledgers2, nil, func(h *entity.Host) {
		addTo1(t, h, "both", 1)
		addTo1(t, h, "new", 1)
	})
	var log lockedBuffer
	warned := func(c *entity.Config) {
		warnOfUnknown(c)
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	}
	release(ledgers1, warned, func(h *entity.Host) {
		for id, entry := range map[string]string{"both": "entry 2", "new": "entry 1"} {
			_, err := callAdd(t, h, id, 1)
			for _, part := range []string{fmt.Sprintf("ledger %q", id), entry, "google.protobuf.Int64Value", "run a release that knows it"} {
				if !errors.Is(err, entity.ErrFailed) || !strings.Contains(err.Error(), part) {
					t.Errorf("%s: %v, want a failure with %q", id, err, part)
				}
			}
			info, err := h.Inspect(t.Context(), "ledger", id, nil)
			if err != nil || !strings.Contains(info.StateError, "google.protobuf.Int64Value") {
				t.Errorf("%s: an operator sees %+v, %v", id, info, err)
			}
		}
		for _, id := range []string{"old", "another"} {
			addTo1(t, h, id, 1)
		}
		wantCents(t, h, "old", 200)
	})
	if text := log.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, `of \"ledger\": google.protobuf.Int64Value`) {
		t.Errorf("the log says\n%s\nwant a warning with the event", text)
	}
	release(ledgers2, nil, func(h *entity.Host) {
		for id, want := range map[string]int64{"both": 200, "old": 200, "new": 100, "another": 100} {
			wantCents(t, h, id, want)
			addTo1(t, h, id, 1)
			wantCents(t, h, id, want+100)
		}
	})
}

// countsRecoveries counts the looks at what is stored of one entity.
type countsRecoveries struct {
	journal.Journal
	of    string
	count atomic.Int64
}

func (j *countsRecoveries) Snapshots(ctx context.Context, of journal.Entity) ([]journal.Snapshot, error) {
	if of.ID == j.of {
		j.count.Add(1)
	}
	return j.Journal.Snapshots(ctx, of)
}

func TestATimerOfAnEntityWithAnUnknownEventWaitsWithoutSpinning(t *testing.T) {
	// Not parallel: see inBubble.
	armed := func(event proto.Message) entity.Rule[ledger] {
		return entity.On(func(_ ledger, c entity.Command[*wrapperspb.BoolValue]) (entity.Effect, *emptypb.Empty, error) {
			return entity.Persist(event).Remind("add", c.Time.Add(time.Minute), wrapperspb.UInt32(1)), &emptypb.Empty{}, nil
		})
	}
	before := entity.Define("ledger", askCents, storesCoins, armed(wrapperspb.Int32(1)), entity.Apply(applyCoins))
	after := entity.Define("ledger", askCents, storesCents, armed(wrapperspb.Int64(100)), entity.Apply(applyCents), entity.Upcast[ledger](centsFromCoins))
	inBubble(t, func(t *testing.T) {
		j := &countsRecoveries{Journal: journal.NewMemory(), of: "new"}
		arm := func(def entity.Definition, id string) {
			h := startRelease(t, j, def, nil)
			if _, err := h.Call(long(t), &entity.Request{Type: "ledger", ID: id, Command: "BoolValue"}); err != nil {
				t.Fatal(err)
			}
			stopHost(t, h)
		}
		arm(before, "old")
		arm(after, "new")
		h := startRelease(t, j, before, warnOfUnknown)
		const hours = 3
		time.Sleep(hours * time.Hour)
		wantCents(t, h, "old", 200) // its timer fired
		if n := j.count.Load(); n < hours*30 || n > hours*80 {
			t.Errorf("in %d hours the entity was rebuilt %d times, want about once a minute", hours, n)
		}
		stopHost(t, h)
		h = startRelease(t, j, after, nil)
		time.Sleep(time.Second)
		wantCents(t, h, "new", 200)
		stopHost(t, h)
		time.Sleep(2 * time.Second) // the actor system's last goroutine
	})
}

// inBubble runs hosts in fake time. Commands come from a pool, each with a channel that belongs to the
// bubble in which it was made: none may come in from outside, nor get out. So such a test is not
// parallel, and the pool is emptied before and after, which takes two collections.
func inBubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	for range 2 {
		runtime.GC()
	}
	synctest.Test(t, f)
	for range 2 {
		runtime.GC()
	}
}

// watchesList checks at each append that the journal lists the events in it.
type watchesList struct {
	journal.Journal
	t       *testing.T
	appends atomic.Int64
}

func (j *watchesList) Append(ctx context.Context, at uint32, rec journal.Record) (journal.Slot, error) {
	listed := listedEvents(j.t, j.Journal)
	var reader entity.StoredReader
	err := reader.Each(rec, func(s *entity.Stored) error {
		for _, e := range s.Events {
			j.appends.Add(1)
			if !slices.Contains(listed, "event/"+s.Type+"/"+e.Type) {
				j.t.Errorf("%s of %s %q is appended, listed are %q", e.Type, s.Type, s.ID, listed)
			}
		}
		return nil
	})
	if err != nil {
		j.t.Error(err)
	}
	return j.Journal.Append(ctx, at, rec)
}

func TestAnEventIsListedBeforeTheFirstIsAppended(t *testing.T) {
	t.Parallel()
	j := &watchesList{Journal: journal.NewMemory(), t: t}
	for range 2 {
		h := startHost(t, j, func(c *entity.Config) { c.Types = []entity.Definition{tallies, ledgers2} })
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				if _, err := addTo.Ask(long(t), tallies.Ref(h, fmt.Sprint(i)), wrapperspb.Int64(1)); err != nil {
					t.Error(err)
				}
				if _, err := callAdd(t, h, fmt.Sprint(i), 1); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		stopHost(t, h)
	}
	if n := j.appends.Load(); n != 2*16*2 {
		t.Errorf("%d events were appended, want %d", n, 2*16*2)
	}
	// The other event of a tally was never stored.
	if got, want := listedEvents(t, j), []string{"event/ledger/google.protobuf.Int64Value", "event/tally/google.protobuf.Int64Value", "events-listed"}; !slices.Equal(got, want) {
		t.Errorf("listed are %q, want %q", got, want)
	}
}

// settleFault decides over each fact that is settled, and counts those that it let pass.
type settleFault struct {
	journal.Journal
	before  func(ctx context.Context, name string) error
	settled atomic.Int64
}

func (j *settleFault) Settle(ctx context.Context, name, value string) (string, error) {
	if err := j.before(ctx, name); err != nil {
		return "", err
	}
	if strings.HasPrefix(name, "event/") {
		j.settled.Add(1)
	}
	return j.Journal.Settle(ctx, name, value)
}

func TestACommandWhoseEventCannotBeListedIsUnavailableAndStoresNothing(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	broken.Store(true)
	j := &settleFault{Journal: journal.NewMemory(), before: func(_ context.Context, name string) error {
		if broken.Load() && strings.HasPrefix(name, "event/") {
			return errors.New("no quorum")
		}
		return nil
	}}
	h := startRelease(t, j, ledgers2, nil)
	call := func() (*entity.Response, error) {
		payload, _ := proto.Marshal(wrapperspb.UInt32(1))
		return h.Call(long(t), &entity.Request{Type: "ledger", ID: "a", Command: "UInt32Value", Payload: payload, Key: entity.CallerKey("k")})
	}
	for range 2 {
		if _, err := call(); !errors.Is(err, entity.ErrUnavailable) || !strings.Contains(err.Error(), "no quorum") || !strings.Contains(err.Error(), "google.protobuf.Int64Value") {
			t.Errorf("%v, want it unavailable, with event and cause", err)
		}
		wantCents(t, h, "a", 0)
	}
	broken.Store(false)
	resp, err := call()
	if err != nil || resp.Receipt.Repeated || resp.Receipt.Version != 1 {
		t.Errorf("%+v, %v, want the first event", resp, err)
	}
	wantCents(t, h, "a", 100)
}

func TestATimerWhoseEventCannotBeListedFiresLater(t *testing.T) {
	t.Parallel()
	var failures atomic.Int64
	failures.Store(2)
	j := &settleFault{Journal: journal.NewMemory(), before: func(_ context.Context, name string) error {
		if strings.HasPrefix(name, "event/") && failures.Add(-1) >= 0 {
			return errors.New("no quorum")
		}
		return nil
	}}
	h := startRelease(t, j, tallies, nil)
	if _, err := resetLater.Ask(long(t), tallies.Ref(h, "a"), wrapperspb.UInt32(1)); err != nil {
		t.Fatal(err)
	}
	for {
		info, err := h.Inspect(t.Context(), "tally", "a", nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(info.Timers) == 0 {
			if info.Version != 1 || failures.Load() >= 0 {
				t.Errorf("version %d after the timer, want 1, and failures before", info.Version)
			}
			return
		}
		time.Sleep(5 * time.Millisecond) // the timer runs on the real clock here
	}
}

// Many entities store an event of a new type at once while the journal is slow.
func TestManyFirstEventsAreListedByOneCall(t *testing.T) {
	t.Parallel()
	const entities = 50
	handled, release := make(chan struct{}, 2*entities), make(chan struct{})
	j := &settleFault{Journal: journal.NewMemory(), before: func(_ context.Context, name string) error {
		if strings.HasPrefix(name, "event/") {
			<-release
		}
		return nil
	}}
	def := entity.Define("ledger", askCents, entity.Apply(applyCents), adding(func(n uint32) proto.Message {
		handled <- struct{}{}
		return wrapperspb.Int64(100 * int64(n))
	}))
	addAll := func(h *entity.Host) *sync.WaitGroup {
		var wg sync.WaitGroup
		for i := range entities {
			wg.Go(func() {
				if _, err := callAdd(t, h, fmt.Sprint(i), 1); err != nil {
					t.Error(err)
				}
			})
		}
		return &wg
	}
	h := startRelease(t, j, def, nil)
	all := addAll(h)
	for range entities {
		<-handled
	}
	wantCents(t, h, "a neighbour", 0) // nobody else waits
	close(release)
	all.Wait()
	stopHost(t, h)
	h = startRelease(t, j, def, nil) // which knows by then
	addAll(h).Wait()
	wantCents(t, h, "7", 200)
	if n := j.settled.Load(); n != 1 {
		t.Errorf("the pair was settled %d times, want once in the life of the journal", n)
	}
}

func TestAJournalThatDoesNotAnswerIsNotWaitedForWithoutEnd(t *testing.T) {
	t.Parallel()
	j := &settleFault{Journal: journal.NewMemory(), before: func(ctx context.Context, name string) error {
		if strings.HasPrefix(name, "event/") {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}}
	h := startRelease(t, j, ledgers2, nil)
	if _, err := callAdd(t, h, "a", 1); !errors.Is(err, entity.ErrUnavailable) {
		t.Errorf("%v, want it unavailable", err)
	}
}

// A process ends when the event is listed and not stored.
func TestAnEventThatIsListedOnlyDoesNoHarm(t *testing.T) {
	t.Parallel()
	mem := journal.NewMemory()
	h := startRelease(t, mem, ledgers1, nil)
	addTo1(t, h, "a", 1)
	stopHost(t, h)

	var ends atomic.Bool
	j := &settleFault{Journal: mem, before: func(_ context.Context, name string) error {
		ends.Store(ends.Load() || strings.HasPrefix(name, "event/"))
		return nil
	}}
	ctx, giveUp := context.WithCancel(long(t))
	defer giveUp()
	h = startRelease(t, endsWhen{j, &ends, giveUp}, ledgers2, nil)
	if _, err := h.Call(ctx, &entity.Request{Type: "ledger", ID: "a", Command: "UInt32Value"}); !errors.Is(err, entity.ErrUnknownOutcome) {
		t.Fatalf("%v, want an unknown outcome", err)
	}
	gone, done := context.WithCancel(t.Context())
	done()
	_ = h.Stop(gone)

	if err := startError(t, mem, ledgers1); !errors.Is(err, entity.ErrUnknownEvents) {
		t.Errorf("the first release: %v, want it to refuse: the event may be stored", err)
	}
	for _, def := range []entity.Definition{ledgers1, ledgers2} {
		h := startRelease(t, mem, def, warnOfUnknown)
		wantCents(t, h, "a", 100)
		stopHost(t, h)
	}
}

// endsWhen is a journal that stores no more records from a moment on, and tells when it should have.
type endsWhen struct {
	journal.Journal
	ends *atomic.Bool
	tell func()
}

func (j endsWhen) Append(ctx context.Context, at uint32, rec journal.Record) (journal.Slot, error) {
	if j.ends.Load() {
		j.tell()
		<-ctx.Done()
		return journal.Slot{}, ctx.Err()
	}
	return j.Journal.Append(ctx, at, rec)
}
