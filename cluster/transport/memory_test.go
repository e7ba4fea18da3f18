package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
)

// mesh is nodes in memory, each of which answers with its name.
func mesh(t *testing.T, names ...string) (*transport.Memory, map[string]*transport.Endpoint) {
	t.Helper()
	m, nodes := transport.NewMemory(), map[string]*transport.Endpoint{}
	for _, name := range names {
		n, err := m.Listen(transport.Config{Node: name, Cluster: "c", Shards: 8, Logger: slog.New(slog.DiscardHandler), Route: func(node string) (transport.Peer, bool) {
			return transport.Peer{Node: node, Address: node}, true
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		n.Serve(answering{&entity.Response{Payload: []byte(name)}})
		nodes[name] = n
	}
	return m, nodes
}

// asked is what came of asking, and how long it took.
func asked(t *testing.T, nodes map[string]*transport.Endpoint, from, to string, remaining time.Duration) (transport.Answer, time.Duration) {
	t.Helper()
	began := time.Now()
	a := transport.Ask(t.Context(), nodes[from], transport.Peer{Node: to, Address: to}, command(remaining))
	return a, time.Since(began)
}

func TestCutThatHealsInTimeLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, nodes := mesh(t, "a", "b")
		if a, _ := asked(t, nodes, "a", "b", time.Second); a.Err != nil {
			t.Fatal(a.Err)
		}
		m.Cut("a", "b")
		heal := time.AfterFunc(1500*time.Millisecond, func() { m.Heal("a", "b") })
		defer heal.Stop()
		if a, took := asked(t, nodes, "a", "b", time.Minute); a.Err != nil || took != 1500*time.Millisecond {
			t.Errorf("got %v after %v, want the reply when it heals", a.Err, took)
		}
	})
}

// One way cut is enough: the side that hears nothing gives the connection up, and the other learns of it.
func TestCutEndsTheConnection(t *testing.T) {
	t.Parallel()
	for _, way := range [][2]string{{"a", "b"}, {"b", "a"}} {
		synctest.Test(t, func(t *testing.T) {
			m, nodes := mesh(t, "a", "b", "c")
			if a, _ := asked(t, nodes, "a", "b", time.Second); a.Err != nil {
				t.Fatal(a.Err)
			}
			m.Cut(way[0], way[1])
			a, took := asked(t, nodes, "a", "b", time.Minute)
			wantKind(t, fmt.Sprint(way), a, entity.ErrUnknownOutcome)
			if took < 2*time.Second || took > 3*time.Second {
				t.Errorf("%v: it was told after %v, want 3 s after the last ping", way, took)
			}
			a, _ = asked(t, nodes, "a", "b", time.Minute)
			wantKind(t, fmt.Sprint(way), a, transport.ErrUnreachable)
			e := command(time.Second)
			e.Destination = "b"
			if a := transport.Ask(t.Context(), nodes["a"], transport.Peer{Node: "c", Address: "c"}, e); a.Err != nil || string(a.Response.Payload) != "b" {
				t.Errorf("%v: through a third node: %v", way, a.Err)
			}
			m.HealAll()
			time.Sleep(2 * time.Second)
			if a, _ := asked(t, nodes, "a", "b", time.Second); a.Err != nil {
				t.Errorf("%v: healed: %v", way, a.Err)
			}
		})
	}
}

func TestPartitionWithABridge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, nodes := mesh(t, "a", "b", "bridge", "c", "d")
		m.Partition([]string{"a", "b", "bridge"}, []string{"bridge", "c", "d"})
		for _, test := range []struct {
			from, to string
			reached  bool
		}{{"a", "b", true}, {"c", "d", true}, {"a", "bridge", true}, {"bridge", "d", true}, {"a", "c", false}, {"d", "b", false}} {
			a, _ := asked(t, nodes, test.from, test.to, 5*time.Second)
			if (a.Err == nil) != test.reached {
				t.Errorf("%s to %s: %v", test.from, test.to, a.Err)
			}
		}
	})
}

func TestDelayCountsAgainstTheTimeThatRemains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, nodes := mesh(t, "a", "b")
		m.Delay(func(from, to string) time.Duration { return 100 * time.Millisecond })
		var remaining time.Duration
		nodes["b"].Serve(deliverer(func(in *transport.Incoming) {
			remaining = in.Remaining
			pong.Deliver(in)
		}))
		if a, took := asked(t, nodes, "a", "b", 10*time.Second); a.Err != nil || took != 400*time.Millisecond || remaining != 9700*time.Millisecond {
			t.Errorf("got %v after %v with %v left, want 400 ms: two ways for the connection, two for the call", a.Err, took, remaining)
		}
	})
}

func TestNothingOvertakesOnOneWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, nodes := mesh(t, "a", "b")
		r := rand.New(rand.NewPCG(1, 2))
		m.Delay(func(string, string) time.Duration { return time.Duration(r.IntN(50)) * time.Millisecond })
		var got []uint64
		nodes["b"].Serve(deliverer(func(in *transport.Incoming) {
			got = append(got, in.Epoch)
			pong.Deliver(in)
		}))
		var work sync.WaitGroup
		for i := range uint64(100) {
			e := command(time.Minute)
			e.Epoch = i
			work.Add(1)
			nodes["a"].Send(transport.Peer{Node: "b", Address: "b"}, e, func(transport.Answer) { work.Done() })
			time.Sleep(time.Millisecond)
		}
		work.Wait()
		for i, epoch := range got {
			if epoch != uint64(i) {
				t.Fatalf("they came as %v", got)
			}
		}
	})
}

// A lost envelope, or answer, is told when its time is over; what is not lost is not touched.
func TestLostMessagesEndWithTheirTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, nodes := mesh(t, "a", "b")
		var lost, delivered atomic.Int64
		nodes["b"].Serve(deliverer(func(in *transport.Incoming) {
			delivered.Add(1)
			pong.Deliver(in)
		}))
		r := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex
		m.Lose(func(string, string) bool {
			mu.Lock()
			defer mu.Unlock()
			if r.IntN(3) > 0 {
				return false
			}
			lost.Add(1)
			return true
		})
		replies, unknown := 0, 0
		for range 300 {
			a, took := asked(t, nodes, "a", "b", time.Second)
			switch {
			case a.Err == nil:
				replies++
			case errors.Is(a.Err, entity.ErrUnknownOutcome) && took >= time.Second && took <= time.Second+transport.Tardiness:
				unknown++
			default:
				t.Fatalf("got %v after %v", a.Err, took)
			}
		}
		if int64(unknown) != lost.Load() || unknown < 100 || replies+unknown != 300 || delivered.Load() <= int64(replies) {
			t.Errorf("%d replies, %d unknown, %d lost, %d delivered", replies, unknown, lost.Load(), delivered.Load())
		}
	})
}

func TestBrokenConnectionIsNoticedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, nodes := mesh(t, "a", "b")
		nodes["b"].Serve(mute{})
		stream, err := nodes["a"].Open(t.Context(), nodes["b"].Self(), "tail", nil)
		if err != nil {
			t.Fatal(err)
		}
		breaks := time.AfterFunc(time.Second, func() { m.Break("b", "a") })
		defer breaks.Stop()
		a, took := asked(t, nodes, "a", "b", time.Minute)
		wantKind(t, "a broken connection", a, entity.ErrUnknownOutcome)
		if _, err := io.ReadAll(stream); !errors.Is(err, transport.ErrLost) || took != time.Second {
			t.Errorf("told after %v, the stream reads %v", took, err)
		}
		nodes["b"].Serve(pong)
		time.Sleep(time.Second)
		if a, _ := asked(t, nodes, "a", "b", time.Second); a.Err != nil {
			t.Errorf("the next connection: %v", a.Err)
		}
	})
}

func TestPeersAreShownToOperators(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, nodes := mesh(t, "a", "b", "c")
		nodes["b"].Serve(mute{})
		m.Cut("a", "c")
		began := time.Now()
		nodes["a"].Send(nodes["b"].Self(), command(time.Minute), func(transport.Answer) {})
		if a, _ := asked(t, nodes, "a", "c", time.Minute); a.Err == nil {
			t.Errorf("c is reached")
		}
		all := nodes["a"].Peers()
		if len(all) != 2 {
			t.Fatalf("a knows %+v", all)
		}
		if b := all[0]; b.Node != "b" || !b.Connected || !b.Since.Equal(began) || b.Version != 1 || b.Unanswered != 1 || b.Bytes == 0 || b.Failures > 0 {
			t.Errorf("of b it knows %+v", b)
		}
		if c := all[1]; c.Node != "c" || c.Connected || c.Unanswered != 0 || c.Failures != 1 || c.Failure == "" {
			t.Errorf("of c it knows %+v", c)
		}
	})
}

func TestOneNodeAtAnAddress(t *testing.T) {
	t.Parallel()
	m, nodes := mesh(t, "a")
	cfg := transport.Config{Node: "b", Advertise: "a", Cluster: "c", Shards: 8}
	if n, err := m.Listen(cfg); err == nil {
		_ = n.Close()
		t.Errorf("two nodes listen at one address")
	}
	_ = nodes["a"].Close()
	n, err := m.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_ = n.Close()
	cfg.TLS = &transport.TLS{}
	if n, err := m.Listen(cfg); err == nil {
		_ = n.Close()
		t.Errorf("TLS in memory is taken")
	}
}

// deliverer serves envelopes by a function.
type deliverer func(in *transport.Incoming)

func (d deliverer) Deliver(in *transport.Incoming) { d(in) }

func (deliverer) Accept(context.Context, *transport.Stream) error {
	return errors.New("no streams here")
}

// watched is what a node was told of its peers.
type watched struct {
	mu    sync.Mutex
	began time.Time
	told  []string
}

func (w *watched) note(what string) func(transport.Peer) {
	return func(p transport.Peer) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told = append(w.told, fmt.Sprintf("%v %s %s", time.Since(w.began).Round(100*time.Millisecond), p.Node, what))
	}
}

func (w *watched) all() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.told, ", ")
}

// watching is a mesh whose first node tells what it hears of, and has asked all others.
func watching(t *testing.T, names ...string) (*transport.Memory, *watched) {
	t.Helper()
	m, w := transport.NewMemory(), &watched{}
	for i, name := range slices.Backward(names) {
		cfg := transport.Config{Node: name, Cluster: "c", Shards: 8, Logger: slog.New(slog.DiscardHandler)}
		if i == 0 {
			cfg.Gone, cfg.Silent = w.note("is gone"), w.note("is silent")
		}
		n, err := m.Listen(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		for _, other := range names[1:] {
			if err := transport.Check(t.Context(), n, transport.Peer{Node: other, Address: other}); i == 0 && err != nil {
				t.Fatal(err)
			}
		}
	}
	time.Sleep(2 * time.Second)
	w.began = time.Now()
	return m, w
}

// A kill is known within a moment though nobody sends; a cut is a suspicion, from one second on.
func TestKillIsToldAtOnceAndSilenceIsASuspicion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, w := watching(t, "a", "b", "c")
		m.Kill("b")
		m.Cut("c", "a")
		time.Sleep(50 * time.Millisecond)
		if got := w.all(); got != "0s b is gone" {
			t.Errorf("after 50 ms it was told: %q", got)
		}
		time.Sleep(2450 * time.Millisecond)
		if got := w.all(); got != "0s b is gone, 1s c is silent, 2s c is silent" && got != "0s b is gone, 600ms c is silent, 1.6s c is silent" {
			t.Errorf("after 2.5 s it was told: %q", got)
		}
		m.HealAll()
		time.Sleep(3 * time.Second)
		if got := strings.Count(w.all(), "silent"); got > 3 {
			t.Errorf("it is silent %d times: %q", got, w.all())
		}
	})
}

// A hello proves nothing: who says it under a member's name and goes has nobody told that the member is gone.
func TestNobodyIsGoneBecauseAnotherCameUnderItsName(t *testing.T) {
	t.Parallel()
	for name, route := range map[string]func(string) (transport.Peer, bool){
		"looked for where it is":            func(node string) (transport.Peer, bool) { return transport.Peer{Node: node, Address: "member"}, true },
		"not looked for if it is not known": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m, w := transport.NewMemory(), &watched{began: time.Now()}
				cfg := transport.Config{Node: "member", Cluster: "c", Shards: 8, Logger: slog.New(slog.DiscardHandler)}
				liar := cfg
				liar.Advertise = "elsewhere"
				looks := cfg
				looks.Node, looks.Route, looks.Gone, looks.Silent = "looks", route, w.note("is gone"), w.note("is silent")
				var nodes []*transport.Endpoint
				for _, c := range []transport.Config{cfg, looks, liar} {
					n, err := m.Listen(c)
					if err != nil {
						t.Fatal(err)
					}
					nodes = append(nodes, n)
				}
				if err := transport.Check(t.Context(), nodes[2], nodes[1].Self()); err != nil {
					t.Fatal(err)
				}
				_ = nodes[2].Close()
				time.Sleep(10 * time.Second)
				if got := w.all(); got != "" {
					t.Errorf("it was told: %q", got)
				}
				if asked := len(nodes[1].Peers()); asked > 1 || asked == 1 && nodes[1].Peers()[0].Address != "member" {
					t.Errorf("it looked at %v", nodes[1].Peers())
				}
				_, _ = nodes[0].Close(), nodes[1].Close()
			})
		})
	}
}
