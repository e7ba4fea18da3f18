package entity_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// A call that races Stop must get an answer.
func TestCallRacingStopIsAnswered(t *testing.T) {
	t.Parallel()
	for round := range 300 {
		h, err := entity.Start(t.Context(), entity.Config{Journal: journal.NewMemory(), Types: []entity.Definition{tallies}, Shards: 1})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(context.Background())
		for range 64 {
			wg.Go(func() {
				for {
					if _, err := addTo.Ask(ctx, tallies.Ref(h, "a"), wrapperspb.Int64(1)); err != nil {
						if errors.Is(err, context.Canceled) {
							t.Errorf("round %d: never answered", round)
						}
						return
					}
				}
			})
		}
		time.Sleep(time.Duration(round%5) * 100 * time.Microsecond)
		stopHost(t, h)
		done := make(chan struct{})
		go func() { wg.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(patience): // far behind the commands' own deadlines
			cancel()
			<-done
		}
		cancel()
		if t.Failed() {
			return
		}
	}
}

// One unknown outcome must not close the entity for a day.
func TestOneCancelDoesNotFillTheWindow(t *testing.T) {
	t.Parallel()
	j := &heldJournal{Journal: journal.NewMemory()}
	ref := tallies.Ref(startHost(t, j, nil), "a")
	release := j.hold()
	defer release()
	for wait := time.Millisecond; ; wait *= 2 { // until it was sent before its caller gave up
		ctx, cancel := context.WithCancel(t.Context())
		giveUp := time.AfterFunc(wait, cancel)
		_, err := addTo.Ask(ctx, ref, wrapperspb.Int64(1))
		giveUp.Stop()
		cancel()
		if errors.Is(err, entity.ErrUnknownOutcome) {
			break
		}
	}
	release()
	for i := range 20000 {
		if _, err := addTo.Ask(long(t), ref, wrapperspb.Int64(1)); err != nil {
			t.Fatalf("command %d after one cancelled call: %v", i, err)
		}
	}
}

var sayNo = entity.On(func(_ tally, c entity.Command[*wrapperspb.StringValue]) (entity.Effect, *emptypb.Empty, error) {
	return entity.None, nil, entity.Reject("too-long", "%s... is too long", c.Msg.GetValue()[:1]) // cuts within a rune
})

var cancelBad = entity.On(func(_ tally, c entity.Command[*wrapperspb.BytesValue]) (entity.Effect, *emptypb.Empty, error) {
	return entity.None.Cancel(string(c.Msg.GetValue())), &emptypb.Empty{}, nil
})
var nos = entity.Define[tally]("nos", sayNo, cancelBad)

// A rejection whose message is cut within a rune must not poison the shard.
func TestRejectionWithACutRuneIsReadable(t *testing.T) {
	t.Parallel()
	j := noPages{journal.NewMemory()}
	types := func(c *entity.Config) { c.Types = []entity.Definition{nos}; c.Shards = 1 }
	h := startHost(t, j, types)
	_, err := sayNo.Ask(long(t), nos.Ref(h, "a"), wrapperspb.String("äöü"), entity.Key("k"))
	t.Log(err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = h.Stop(ctx) // as a crash: nothing is flushed
	h2, err := entity.Start(t.Context(), entity.Config{Journal: j, Types: []entity.Definition{nos}})
	if err != nil {
		t.Fatal("after a crash: ", err)
	}
	_ = h2.Stop(ctx)
}

func TestCancelOfABadName(t *testing.T) {
	t.Parallel()
	j := noPages{journal.NewMemory()}
	types := func(c *entity.Config) { c.Types = []entity.Definition{nos}; c.Shards = 1 }
	h := startHost(t, j, types)
	_, err := cancelBad.Ask(long(t), nos.Ref(h, "a"), wrapperspb.Bytes([]byte{0xff}))
	t.Log(err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = h.Stop(ctx)
	h2, err := entity.Start(t.Context(), entity.Config{Journal: j, Types: []entity.Definition{nos}})
	if err != nil {
		t.Fatal("after a crash: ", err)
	}
	_ = h2.Stop(ctx)
}

var armTwice = entity.On(func(_ tally, c entity.Command[*wrapperspb.UInt32Value]) (entity.Effect, *emptypb.Empty, error) {
	at := c.Time.Add(time.Duration(c.Msg.GetValue()) * time.Millisecond)
	return entity.None.Remind("x", at, wrapperspb.Bool(true)).Remind("x", at, wrapperspb.Bool(true)), &emptypb.Empty{}, nil
})

var twice = entity.Define[tally]("twice", armTwice, reset,
	entity.Apply(func(s tally, _ *wrapperspb.BoolValue) tally { return tally{N: s.N + 1} }))

// A timer armed twice in one effect, for the same time, must fire after a restart.
func TestTimerArmedTwiceInOneEffectFires(t *testing.T) {
	t.Parallel()
	j := journal.NewMemory()
	types := func(c *entity.Config) { c.Types = []entity.Definition{twice}; c.Shards = 1 }
	h := startHost(t, j, types)
	if _, err := armTwice.Ask(long(t), twice.Ref(h, "a"), wrapperspb.UInt32(300)); err != nil {
		t.Fatal(err)
	}
	stopHost(t, h) // flushes
	h = startHost(t, j, types)
	eventually(t, "the timer fires, though nothing but the host looks at it", func() bool {
		info, err := h.Inspect(t.Context(), "twice", "a", nil)
		if err != nil {
			t.Fatal(err)
		}
		return len(info.Timers) == 0
	})
}

var hugeNo = entity.On(func(_ tally, c entity.Command[*wrapperspb.UInt32Value]) (entity.Effect, *emptypb.Empty, error) {
	return entity.None, nil, entity.Reject("huge", "%s", strings.Repeat("x", int(c.Msg.GetValue())))
})

var hugeNos = entity.Define[tally]("huge", hugeNo, addTo, sum,
	entity.Apply(func(s tally, e *wrapperspb.Int64Value) tally { return tally{s.Sum + e.GetValue(), s.N + 1} }))

// A rejection over the record's limit must not stop the shard.
func TestHugeRejectionDoesNotStopTheShard(t *testing.T) {
	t.Parallel()
	j := openPebble(t, t.TempDir()+"/d")
	h := startHost(t, j, func(c *entity.Config) { c.Types = []entity.Definition{hugeNos}; c.Shards = 1 })
	for _, size := range []uint32{3 << 20, 70 << 20} {
		_, err := hugeNo.Ask(long(t), hugeNos.Ref(h, "a"), wrapperspb.UInt32(size), entity.Key(fmt.Sprint("k", size)))
		t.Logf("%d: %.200v", size, err)
		time.Sleep(1500 * time.Millisecond)
		if _, err := addTo.Ask(long(t), hugeNos.Ref(h, "b"), wrapperspb.Int64(1)); err != nil {
			t.Errorf("a neighbour afterwards: %.300v", err)
		}
	}
}

type snapBomb struct{ N int64 }

func (b snapBomb) MarshalJSON() ([]byte, error) { return []byte(fmt.Sprint(b.N)), nil }
func (b *snapBomb) UnmarshalJSON(x []byte) error {
	panic("cannot read it")
}

type snapBombState struct{ B snapBomb }

var snapBombs = entity.Define[snapBombState]("bomb",
	entity.On(func(s snapBombState, c entity.Command[*wrapperspb.Int64Value]) (entity.Effect, *wrapperspb.Int64Value, error) {
		return entity.Persist(c.Msg), wrapperspb.Int64(s.B.N), nil
	}),
	entity.Apply(func(s snapBombState, e *wrapperspb.Int64Value) snapBombState {
		return snapBombState{snapBomb{s.B.N + e.GetValue()}}
	}))

// A snapshot that cannot be read is ignored, never fatal.
func TestSnapshotWhoseDecodingPanicsIsIgnored(t *testing.T) {
	t.Parallel()
	j := journal.NewMemory()
	mem := func(c *entity.Config) { c.Types = []entity.Definition{snapBombs}; c.Shards = 1 }
	h := startHost(t, j, mem)
	body := func(n int64) *entity.Request {
		b, _ := json.Marshal(n)
		_ = b
		return &entity.Request{Type: "bomb", ID: "a", Command: "Int64Value", Payload: []byte{8, 1}}
	}
	for range 3 {
		if _, err := h.Call(long(t), body(1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond)
	}
	stopHost(t, h)
	h = startHost(t, j, mem)
	if _, err := h.Call(long(t), body(1)); err != nil {
		t.Fatal(err)
	}
}

var exits = entity.Define[tally]("exits",
	entity.On(func(_ tally, c entity.Command[*wrapperspb.BoolValue]) (entity.Effect, *emptypb.Empty, error) {
		if c.Msg.GetValue() {
			runtime.Goexit()
		}
		return entity.None, &emptypb.Empty{}, nil
	}))

// Goexit in a handler (t.FailNow does that) fails its caller and nobody else.
func TestGoexitInAHandler(t *testing.T) {
	t.Parallel()
	h, err := entity.Start(t.Context(), entity.Config{Journal: journal.NewMemory(), Types: []entity.Definition{exits}, Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	call := func(payload ...byte) error {
		_, err := h.Call(long(t), &entity.Request{Type: "exits", ID: "a", Command: "BoolValue", Payload: payload})
		return err
	}
	if err := call(8, 1); !errors.Is(err, entity.ErrFailed) {
		t.Errorf("Goexit: %v", err)
	}
	if err := call(); err != nil {
		t.Errorf("the next command: %v", err)
	}
	stopHost(t, h)
}

// mutable state: S is a pointer, apply changes in place, later part of the command fails
var mutated = entity.Define[*wrapperspb.Int64Value]("mutated",
	entity.On(func(s *wrapperspb.Int64Value, c entity.Command[*wrapperspb.StringValue]) (entity.Effect, *emptypb.Empty, error) {
		return entity.Persist(wrapperspb.Int64(5), wrapperspb.Bool(true)), &emptypb.Empty{}, nil // no rule for Bool
	}),
	entity.Query(func(s *wrapperspb.Int64Value, _ entity.Command[*emptypb.Empty]) (*wrapperspb.Int64Value, error) {
		return s, nil
	}),
	entity.Apply(func(s *wrapperspb.Int64Value, e *wrapperspb.Int64Value) *wrapperspb.Int64Value {
		s.Value += e.GetValue() // against the rule: "leaves the old one as it was"
		return s
	}))

func TestStateChangedInPlaceByACommandThatFails(t *testing.T) {
	t.Parallel()
	h := startHost(t, journal.NewMemory(), func(c *entity.Config) { c.Types = []entity.Definition{mutated} })
	_, err := h.Call(long(t), &entity.Request{Type: "mutated", ID: "a", Command: "StringValue"})
	t.Log(err)
	r, err := h.Call(long(t), &entity.Request{Type: "mutated", ID: "a", Command: "Empty"})
	if err != nil || len(r.Payload) != 0 {
		t.Errorf("a query sees %v of a command that stored nothing (%v)", r.Payload, err)
	}
}

// noPages is a journal whose derived tables fail: what a crash before the first flush leaves.
type noPages struct{ journal.Journal }

func (noPages) Derive(context.Context, journal.Derived) error { return errors.New("not now") }
