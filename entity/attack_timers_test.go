package entity_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/journaltest"
)

// alarms: arm N timers (names from the payload's number), each fires into an event with its name.
type alarmState struct{ Fired map[string]int }

var alarms = entity.Define[alarmState]("alarm",
	entity.On(func(_ alarmState, c entity.Command[*wrapperspb.Int64Value]) (entity.Effect, *emptypb.Empty, error) {
		e := entity.Persist(c.Msg)
		for i := range 5 {
			name := fmt.Sprintf("%d.%d", c.Msg.GetValue(), i)
			e = e.Remind(name, c.Time.Add(time.Duration(i/2*7)*time.Millisecond), wrapperspb.String(name)) // equal dues, some at once
		}
		return e, &emptypb.Empty{}, nil
	}),
	entity.On(func(s alarmState, c entity.Command[*wrapperspb.StringValue]) (entity.Effect, *emptypb.Empty, error) {
		return entity.Persist(c.Msg), &emptypb.Empty{}, nil
	}),
	entity.Query(func(s alarmState, _ entity.Command[*emptypb.Empty]) (*wrapperspb.Int64Value, error) {
		return wrapperspb.Int64(int64(len(s.Fired))), nil
	}),
	entity.Apply(func(s alarmState, _ *wrapperspb.Int64Value) alarmState { return s }),
	entity.Apply(func(s alarmState, e *wrapperspb.StringValue) alarmState {
		m := map[string]int{}
		for k, v := range s.Fired {
			m[k] = v
		}
		m[e.GetValue()]++
		return alarmState{m}
	}))

func TestTimersBetweenFlakyHosts(t *testing.T) {
	t.Parallel()
	for seed := range rounds(3) {
		mem := journal.NewMemory()
		f := journaltest.NewFlaky(mem, journaltest.Faults{Seed: uint64(seed), Stall: 20, Refuse: 10, Lose: 10, Forget: 10, Late: 10})
		start := func(j journal.Journal) *entity.Host {
			for {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				h, err := entity.Start(ctx, entity.Config{Journal: j, Types: []entity.Definition{alarms}, Shards: 2, MaxLive: 1, IdleAfter: time.Millisecond})
				cancel()
				if err == nil {
					return h
				}
				t.Log(err)
			}
		}
		r := rand.New(rand.NewPCG(uint64(seed), 5))
		box := &hostBox{h: start(f)}
		var wg sync.WaitGroup
		for c := range 6 {
			wg.Go(func() {
				for i := range 10 {
					n := int64(c*100 + i)
					payload, _ := proto.Marshal(wrapperspb.Int64(n))
					for wait := 200 * time.Millisecond; ; wait = min(wait+wait/10, 10*time.Second) {
						ctx, cancel := context.WithTimeout(context.Background(), wait)
						_, err := box.get().Call(ctx, &entity.Request{Type: "alarm", ID: fmt.Sprint("a", c%3), Command: "Int64Value", Payload: payload, Key: entity.CallerKey(fmt.Sprint(n))})
						cancel()
						if err == nil {
							break
						}
						time.Sleep(time.Millisecond)
					}
				}
			})
		}
		for range 6 {
			time.Sleep(time.Duration(r.IntN(25)) * time.Millisecond)
			old := box.get()
			fresh := start(f)
			time.Sleep(time.Duration(r.IntN(5)) * time.Millisecond)
			box.mu.Lock()
			box.h = fresh
			box.mu.Unlock()
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(r.IntN(10))*time.Millisecond)
			_ = old.Stop(ctx)
			cancel()
		}
		wg.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		_ = box.get().Stop(ctx)
		cancel()
		f.Wait()
		h := start(mem)
		for a := range 3 {
			id := fmt.Sprint("a", a)
			for end := time.Now().Add(patience); ; {
				info, err := h.Inspect(t.Context(), "alarm", id, nil)
				if err != nil {
					t.Fatal(err)
				}
				if len(info.Timers) > 0 {
					if time.Now().After(end) {
						t.Fatalf("seed %d: %s: %d timers never fire", seed, id, len(info.Timers))
					}
					time.Sleep(10 * time.Millisecond)
					continue
				}
				fired := map[string]int{}
				for _, e := range info.Events {
					if e.Type == "google.protobuf.StringValue" {
						fired[string(e.Data)]++
					}
				}
				for k, n := range fired {
					if n != 1 {
						t.Errorf("seed %d: %s fired %d times", seed, k, n)
					}
				}
				if len(fired) != 100 {
					t.Errorf("seed %d: %s: %d of 100 timers fired", seed, id, len(fired))
				}
				break
			}
		}
		stopHost(t, h)
		if t.Failed() {
			return
		}
	}
}

// Many entities, hardly any live, real store: nothing lost, replies right.
func TestThousandsOfEntitiesTinyBudget(t *testing.T) {
	t.Parallel()
	j := openPebble(t, t.TempDir()+"/d")
	h := startHost(t, j, func(c *entity.Config) { c.MaxLive = 3; c.IdleAfter = time.Millisecond })
	var wg sync.WaitGroup
	const callers, entities, rounds = 16, 60, 4
	for c := range callers {
		wg.Go(func() {
			for r := range rounds {
				for e := range entities {
					id := fmt.Sprint(c, "-", e)
					got, err := addTo.Ask(long(t), tallies.Ref(h, id), wrapperspb.Int64(int64(e+1)))
					if err != nil || got.GetValue() != int64((r+1)*(e+1)) {
						t.Errorf("%s: %v %v", id, got, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// A hot entity takes thousands of keyed commands from one principal.
func TestKeyedCommandsAtAHotEntity(t *testing.T) {
	t.Parallel()
	h := startHost(t, journal.NewMemory(), nil)
	for i := range 3000 {
		if _, err := addTo.Ask(long(t), tallies.Ref(h, "a"), wrapperspb.Int64(1), entity.Key(fmt.Sprint(i))); err != nil {
			t.Fatalf("keyed command %d: %v", i, err)
		}
	}
}

var odd = entity.Define[tally]("odd",
	entity.On(func(_ tally, c entity.Command[*wrapperspb.Int64Value]) (entity.Effect, *wrapperspb.Int64Value, error) {
		switch c.Msg.GetValue() {
		case 1:
			return entity.Persist(nil), nil, nil
		case 2:
			return entity.None.Remind("x", c.Time, nil), nil, nil
		case 3:
			return entity.None, nil, entity.Reject("skerry/key-reused", "mine")
		case 4:
			panic(struct{ x int }{3})
		case 5:
			panic(nil)
		case 6:
			var no *entity.Rejection
			return entity.None, nil, no
		case 7:
			return entity.Persist((*wrapperspb.Int64Value)(nil)), nil, nil
		case 8:
			return entity.Persist(), nil, nil
		case 9:
			return entity.None.Remind("x\x00", c.Time, wrapperspb.Int64(10)), nil, nil
		case 10:
			return entity.None.Remind("x", time.Time{}, wrapperspb.Int64(8)).Cancel("x"), nil, nil
		case 11:
			return entity.None.Remind("q", c.Time, &emptypb.Empty{}), nil, nil
		case 12:
			e := entity.None
			for i := range 1000 {
				e = e.Remind(fmt.Sprint(i), c.Time.Add(time.Hour), wrapperspb.Int64(8))
			}
			return e, nil, nil
		case 13:
			return entity.None, nil, &entity.Rejection{Code: "skerry/version-mismatch", Message: "forged"}
		}
		return entity.Persist(c.Msg), c.Msg, nil
	}),
	entity.Query(func(s tally, _ entity.Command[*emptypb.Empty]) (*wrapperspb.Int64Value, error) {
		return wrapperspb.Int64(s.N), nil
	}),
	entity.Apply(func(s tally, e *wrapperspb.Int64Value) tally { return tally{N: s.N + 1} }))

func TestOddHandlers(t *testing.T) {
	t.Parallel()
	j := journal.NewMemory()
	mem := func(c *entity.Config) { c.Types = []entity.Definition{odd} }
	h := startHost(t, j, mem)
	for i := range 15 {
		for _, key := range []string{"", fmt.Sprint("k", i)} {
			p, _ := proto.Marshal(wrapperspb.Int64(int64(i)))
			req := &entity.Request{Type: "odd", ID: "a", Command: "Int64Value", Payload: p}
			if key != "" {
				req.Key = entity.CallerKey(key)
			}
			_, err := h.Call(long(t), req)
			t.Logf("%d %q: %.120v", i, key, err)
		}
	}
	_, err := h.Call(long(t), &entity.Request{Type: "odd", ID: "a", Command: "Int64Value", Payload: []byte{0xff}, Key: entity.CallerKey("mal")})
	t.Logf("malformed: %v", err)
	stopHost(t, h)
	h = startHost(t, j, mem)
	r, err := h.Call(long(t), &entity.Request{Type: "odd", ID: "a", Command: "Empty"})
	t.Log(r, err)
	for _, id := range []string{"\x00", "a\x00b", strings.Repeat("x", 513), "\xff", ""} {
		if _, err := h.Call(long(t), &entity.Request{Type: "odd", ID: id, Command: "Empty"}); !errors.Is(err, entity.ErrMalformed) {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, key := range []string{strings.Repeat("k", 257), "\xff", "a\nb"} {
		if _, err := h.Call(long(t), &entity.Request{Type: "odd", ID: "a", Command: "Int64Value", Key: entity.CallerKey(key)}); !errors.Is(err, entity.ErrMalformed) {
			t.Errorf("%q: %v", key, err)
		}
	}
}
