package entity_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// tally is the smallest entity that can go wrong: it adds, refuses negatives,
// fails on request, and can be reset by a timer.
type tally struct {
	Sum int64
	N   int64
}

var (
	addTo = entity.On(func(s tally, c entity.Command[*wrapperspb.Int64Value]) (entity.Effect, *wrapperspb.Int64Value, error) {
		switch v := c.Msg.GetValue(); {
		case v < 0:
			return entity.None, nil, entity.Reject("negative", "%d is negative", v)
		case v == 666:
			panic("the number of the beast")
		case v == 667:
			return entity.None, nil, errors.New("nearly")
		default:
			return entity.Persist(c.Msg), wrapperspb.Int64(s.Sum + v), nil
		}
	})
	resetLater = entity.On(func(_ tally, c entity.Command[*wrapperspb.UInt32Value]) (entity.Effect, *emptypb.Empty, error) {
		return entity.None.Remind("reset", c.Time.Add(time.Duration(c.Msg.GetValue())*time.Millisecond), wrapperspb.Bool(true)), &emptypb.Empty{}, nil
	})
	reset = entity.On(func(s tally, c entity.Command[*wrapperspb.BoolValue]) (entity.Effect, *emptypb.Empty, error) {
		return entity.Persist(c.Msg), &emptypb.Empty{}, nil
	})
	sum = entity.Query(func(s tally, _ entity.Command[*emptypb.Empty]) (*wrapperspb.Int64Value, error) {
		return wrapperspb.Int64(s.Sum), nil
	})
	tallies = entity.Define[tally]("tally", addTo, resetLater, reset, sum,
		entity.Apply(func(s tally, e *wrapperspb.Int64Value) tally { return tally{s.Sum + e.GetValue(), s.N + 1} }),
		entity.Apply(func(s tally, _ *wrapperspb.BoolValue) tally { return tally{N: s.N + 1} }),
	)
)

// patience bounds what the host is waited for: a defect, not a machine that is slow, makes it wait so long.
const patience = 3 * time.Minute

// long gives a command as much time as it may have: the 5 s of one whose caller gives none pass on a busy machine.
func long(t testing.TB) context.Context { return patient{t.Context(), time.Now().Add(time.Minute)} }

// startHost starts a host that makes snapshots of small entities, too.
func startHost(t testing.TB, j journal.Journal, change func(*entity.Config)) *entity.Host {
	t.Helper()
	cfg := entity.Config{Journal: j, Types: []entity.Definition{tallies}, Shards: 4, SnapshotBytes: 1, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	h, err := entity.Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopHost(t, h) })
	return h
}

func stopHost(t testing.TB, h *entity.Host) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := h.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestACommandIsAnsweredAndOutlivesTheHost(t *testing.T) {
	t.Parallel()
	j := journal.NewMemory()
	h := startHost(t, j, nil)
	ref := tallies.Ref(h, "a")
	for i := range 5 {
		got, err := addTo.Ask(long(t), ref, wrapperspb.Int64(2))
		if err != nil || got.GetValue() != int64(2*i+2) {
			t.Fatalf("add %d: %v, %v", i, got, err)
		}
	}
	stopHost(t, h)
	h = startHost(t, j, nil)
	got, err := sum.Ask(long(t), tallies.Ref(h, "a"), &emptypb.Empty{})
	if err != nil || got.GetValue() != 10 {
		t.Fatalf("after a restart: %v, %v", got, err)
	}
}

func TestTheFiveKindsOfAnswer(t *testing.T) {
	t.Parallel()
	h := startHost(t, journal.NewMemory(), nil)
	ref := tallies.Ref(h, "a")
	ask := func(v int64, opts ...entity.CallOption) error {
		_, err := addTo.Ask(long(t), ref, wrapperspb.Int64(v), opts...)
		return err
	}
	if err := ask(1); err != nil {
		t.Fatal(err)
	}
	var no *entity.Rejection
	if err := ask(-1); !errors.As(err, &no) || no.Code != "negative" {
		t.Errorf("a negative: %v", err)
	}
	if err := ask(666); !errors.Is(err, entity.ErrFailed) {
		t.Errorf("a panic: %v", err)
	}
	if err := ask(667); !errors.Is(err, entity.ErrFailed) {
		t.Errorf("an error: %v", err)
	}
	if err := ask(1, entity.IfVersion(7)); !errors.Is(err, entity.ErrVersionMismatch) || !errors.As(err, &no) || no.Version != 1 {
		t.Errorf("another version: %v", err)
	}
	if err := ask(5, entity.Key("k")); err != nil {
		t.Error(err)
	}
	var receipt entity.Receipt
	if err := ask(5, entity.Key("k"), entity.Receive(&receipt)); err != nil || !receipt.Repeated || receipt.Version != 2 {
		t.Errorf("a repeat: %v %+v", err, receipt)
	}
	if err := ask(6, entity.Key("k")); !errors.Is(err, entity.ErrKeyReused) {
		t.Errorf("the key with another command: %v", err)
	}
	if got, err := sum.Ask(long(t), ref, &emptypb.Empty{}); err != nil || got.GetValue() != 6 {
		t.Errorf("the sum: %v, %v", got, err)
	}
}

func TestManyCallersOfManyEntities(t *testing.T) {
	t.Parallel()
	h := startHost(t, journal.NewMemory(), nil)
	const callers, each, entities = 32, 200, 10
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				ref := tallies.Ref(h, fmt.Sprint((c+i)%entities))
				if _, err := addTo.Ask(long(t), ref, wrapperspb.Int64(1)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	var total int64
	for e := range entities {
		got, err := sum.Ask(long(t), tallies.Ref(h, fmt.Sprint(e)), &emptypb.Empty{})
		if err != nil {
			t.Fatal(err)
		}
		total += got.GetValue()
	}
	if total != callers*each {
		t.Fatalf("the sums add up to %d, not %d", total, callers*each)
	}
}

func TestATimerFiresOnce(t *testing.T) {
	t.Parallel()
	j := journal.NewMemory()
	h := startHost(t, j, nil)
	ref := tallies.Ref(h, "a")
	if _, err := addTo.Ask(long(t), ref, wrapperspb.Int64(3)); err != nil {
		t.Fatal(err)
	}
	if _, err := resetLater.Ask(long(t), ref, wrapperspb.UInt32(50)); err != nil {
		t.Fatal(err)
	}
	stopHost(t, h)
	h = startHost(t, j, nil)
	for {
		info, err := h.Inspect(t.Context(), "tally", "a", nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(info.Timers) == 0 {
			if info.Version != 2 {
				t.Fatalf("version %d after the timer, not 2", info.Version)
			}
			return
		}
		time.Sleep(5 * time.Millisecond) // the timer runs on the real clock here
	}
}
