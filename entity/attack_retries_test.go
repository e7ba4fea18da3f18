package entity_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/journaltest"
)

// rounds is how many seeds of a kind are tried: more with SKERRY_ATTACK_SEEDS.
func rounds(n int) int {
	if v, err := strconv.Atoi(os.Getenv("SKERRY_ATTACK_SEEDS")); err == nil {
		return v
	}
	return n
}

// Each keyed command is retried until it gets a reply; then the events must hold each exactly once.
func TestKeyedRetriesOverAFlakyJournal(t *testing.T) {
	t.Parallel()
	for seed := range rounds(3) {
		flakyRound(t, uint64(seed), false)
		if t.Failed() {
			t.Fatal("seed", seed)
		}
	}
}

func TestKeyedRetriesBetweenTwoHosts(t *testing.T) {
	t.Parallel()
	for seed := range rounds(3) {
		flakyRound(t, uint64(seed), true)
		if t.Failed() {
			t.Fatal("seed", seed)
		}
	}
}

type hostBox struct {
	mu sync.RWMutex
	h  *entity.Host
}

func (b *hostBox) get() *entity.Host { b.mu.RLock(); defer b.mu.RUnlock(); return b.h }

func flakyRound(t *testing.T, seed uint64, moving bool) {
	mem := journal.NewMemory()
	f := journaltest.NewFlaky(mem, journaltest.Faults{Seed: seed, Stall: 20, Refuse: 10, Lose: 10, Forget: 10, Late: 10})
	start := func() *entity.Host {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for {
			h, err := entity.Start(ctx, entity.Config{Journal: f, Types: []entity.Definition{tallies}, Shards: 2, MaxLive: 2, IdleAfter: time.Millisecond})
			if err == nil {
				return h
			}
			if ctx.Err() != nil {
				t.Fatal(err)
			}
		}
	}
	box := &hostBox{h: start()}
	const callers, each, entities = 12, 25, 4
	type got struct {
		reply   int64
		version uint64
	}
	var mu sync.Mutex
	replies := map[string][]got{}
	var wg sync.WaitGroup
	var kinds [4]int
	var final atomic.Int64
	for c := range callers {
		r := rand.New(rand.NewPCG(seed, uint64(c)))
		wg.Go(func() {
			for i := range each {
				v := int64(c*each + i + 1)
				id := fmt.Sprint("e", r.IntN(entities))
				if v == 666 || v == 667 {
					v += 10000
				}
				key := fmt.Sprintf("%s-%d", id, v)
				deadline := time.Now().Add(patience)
				confirm := 1 + r.IntN(2)
				for most := 20_000; ; most = min(most+most/10, 5_000_000) { // a slow machine needs more time than it had before
					if time.Now().After(deadline) {
						t.Errorf("%s: no answer in %v", key, patience)
						return
					}
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+r.IntN(most))*time.Microsecond)
					var rec entity.Receipt
					reply, err := addTo.Ask(ctx, tallies.Ref(box.get(), id), wrapperspb.Int64(v), entity.Key(key), entity.Receive(&rec))
					cancel()
					var no *entity.Rejection
					switch {
					case err == nil:
						mu.Lock()
						replies[key] = append(replies[key], got{reply.GetValue(), rec.Version})
						mu.Unlock()
						final.Add(1)
						if confirm--; confirm > 0 {
							continue
						}
					case errors.As(err, &no):
						t.Errorf("%s: %v", key, err)
						return
					case errors.Is(err, entity.ErrFailed):
						t.Errorf("%s: %v", key, err)
						return
					default:
						mu.Lock()
						if errors.Is(err, entity.ErrUnknownOutcome) {
							kinds[0]++
						} else {
							kinds[1]++
						}
						mu.Unlock()
						time.Sleep(time.Duration(r.IntN(1000)) * time.Microsecond)
						continue
					}
					break
				}
			}
		})
	}
	stop := make(chan struct{})
	var mover sync.WaitGroup
	if moving {
		mover.Go(func() {
			r := rand.New(rand.NewPCG(seed, 999))
			for last := int64(0); ; last = final.Load() {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(5+r.IntN(40)) * time.Millisecond):
				}
				for final.Load() == last { // a host that is overtaken before it has answered shows nothing
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond):
					}
				}
				old := box.get()
				fresh := start() // fences the old one while it still serves
				time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
				box.mu.Lock()
				box.h = fresh
				box.mu.Unlock()
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(r.IntN(20))*time.Millisecond)
				_ = old.Stop(ctx)
				cancel()
			}
		})
	}
	wg.Wait()
	close(stop)
	mover.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	_ = box.get().Stop(ctx)
	cancel()
	f.Wait()
	// A fresh host on the bare journal tells the truth.
	h, err := entity.Start(t.Context(), entity.Config{Journal: mem, Types: []entity.Definition{tallies}})
	if err != nil {
		t.Fatal(err)
	}
	defer stopHost(t, h)
	total := 0
	for e := range entities {
		id := fmt.Sprint("e", e)
		info, err := h.Inspect(t.Context(), "tally", id, nil)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		var sum int64
		for _, ev := range info.Events {
			if seen[ev.Key] {
				t.Errorf("%s is stored twice", ev.Key)
			}
			seen[ev.Key] = true
			v, _ := strconv.ParseInt(ev.Key[3:], 10, 64)
			sum += v
			for _, g := range replies[ev.Key] {
				if g.reply != sum || g.version != ev.Version {
					t.Errorf("%s was told %d at version %d; stored %d at version %d", ev.Key, g.reply, g.version, sum, ev.Version)
				}
			}
			total++
		}
		for k := range replies {
			if k[:2] == id && !seen[k] {
				t.Errorf("%s was acknowledged and is lost", k)
			}
		}
	}
	if total != callers*each {
		t.Errorf("%d events, not %d", total, callers*each)
	}
	t.Logf("seed %d: faults %d, unknown %d, unavailable %d", seed, f.Injected(), kinds[0], kinds[1])
}

// 100 callers with one key: one effect, one reply.
func TestOneKeyManyCallers(t *testing.T) {
	t.Parallel()
	h := startHost(t, openPebble(t, t.TempDir()+"/d"), nil)
	for round := range 20 {
		id := fmt.Sprint("r", round)
		var wg sync.WaitGroup
		var mu sync.Mutex
		got := map[int64]int{}
		created := 0
		for i := range 100 {
			wg.Go(func() {
				r, err := addTo.Ask(long(t), tallies.Ref(h, id), wrapperspb.Int64(7), entity.Key("k"))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				got[r.GetValue()]++
				mu.Unlock()
			})
			wg.Go(func() {
				_, err := addTo.Ask(long(t), tallies.Ref(h, "new"+id), wrapperspb.Int64(int64(i)), entity.IfVersion(0))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					created++
				} else if !errors.Is(err, entity.ErrVersionMismatch) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(got) != 1 || got[7] != 100 || created != 1 {
			t.Errorf("replies %v, created %d", got, created)
		}
	}
}

// Stop under load: every call gets an answer and nothing acknowledged is lost.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	for round := range rounds(3) {
		mem := journal.NewMemory()
		f := journaltest.NewFlaky(mem, journaltest.Faults{Seed: uint64(round), Stall: 50, Lose: 5, Forget: 5})
		h, err := entity.Start(t.Context(), entity.Config{Journal: f, Types: []entity.Definition{tallies}, Shards: 4, MaxLive: 8, IdleAfter: time.Millisecond, MaxAppends: 2})
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		acked, maybe := map[string]int64{}, map[string]int64{}
		var wg sync.WaitGroup
		for c := range 32 {
			wg.Go(func() {
				for i := 0; ; i++ {
					id := fmt.Sprint(c, "-", i%50)
					ctx, cancel := context.WithTimeout(context.Background(), patience) // longer than a command may take
					_, err := addTo.Ask(ctx, tallies.Ref(h, id), wrapperspb.Int64(1))
					gaveUp := ctx.Err() != nil
					cancel()
					mu.Lock()
					if err == nil {
						acked[id]++
					} else if errors.Is(err, entity.ErrUnknownOutcome) {
						maybe[id]++
					}
					mu.Unlock()
					if gaveUp {
						t.Errorf("round %d: no answer in %v", round, patience)
					}
					if err != nil {
						return
					}
				}
			})
		}
		time.Sleep(time.Duration(20+10*round) * time.Millisecond)
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(round%5)*5*time.Millisecond)
		_ = h.Stop(ctx)
		cancel()
		wg.Wait()
		f.Wait()
		h2, err := entity.Start(t.Context(), entity.Config{Journal: mem, Types: []entity.Definition{tallies}})
		if err != nil {
			t.Fatal(err)
		}
		n := int64(0)
		for id, want := range acked {
			got, err := sum.Ask(long(t), tallies.Ref(h2, id), &emptypb.Empty{})
			if err != nil || got.GetValue() < want || got.GetValue() > want+maybe[id] {
				t.Errorf("%s: acknowledged %d (+%d), stored %v %v", id, want, maybe[id], got, err)
			}
			n += want
		}
		stopHost(t, h2)
		t.Logf("round %d: %d acknowledged", round, n)
	}
}
