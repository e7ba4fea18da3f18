package transporttest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
)

func faultParts() []part {
	return []part{
		{"nobody there: unavailable, and nothing was sent", nobodyThere},
		{"a peer that ends leaves what it had unknown", peerEnds},
		{"a node that closes tells all who wait", selfEnds},
		{"answers given before a node closes arrive", lastAnswers},
		{"disconnect fails at once, and forbids nothing", disconnected},
		{"another process at the address is not spoken to", otherProcess},
		{"a node of another cluster, journal or count of shards is refused", strangers},
		{"the end of a process that nobody asks is told", endIsTold},
		{"a connection that is closed for want of use is no end", idleIsNoEnd},
		{"a check tells who is there, who has ended and who is a stranger", checked},
		{"each envelope is answered once, also in a storm of ends", answeredOnceInStorm},
	}
}

func nobodyThere(t *testing.T, s Suite) {
	asks, answers := s.pair(t, echo)
	to := answers.Self()
	_ = answers.Close()
	for range 20 {
		a := transport.Ask(t.Context(), asks, to, envelope("x"))
		if !errors.Is(a.Err, entity.ErrUnavailable) || !errors.Is(a.Err, transport.ErrUnreachable) {
			t.Fatalf("got %s, want unavailable, as unreachable", text(a))
		}
	}
	if _, err := asks.Open(t.Context(), to, "tail", nil); !errors.Is(err, transport.ErrUnreachable) {
		t.Errorf("a stream: %v, want unreachable", err)
	}
}

func peerEnds(t *testing.T, s Suite) {
	k := newKeeper()
	asks, answers := s.pair(t, k)
	told := make(chan transport.Answer, 10)
	for range 10 {
		asks.Send(answers.Self(), envelope("x"), func(a transport.Answer) { told <- a })
	}
	k.await(10)
	_ = answers.Close()
	for range 10 {
		if a := <-told; !errors.Is(a.Err, entity.ErrUnknownOutcome) || !errors.Is(a.Err, transport.ErrLost) {
			t.Errorf("got %s, want an unknown outcome, as lost", text(a))
		}
	}
	for _, in := range k.take() {
		in.Answer(reply(nil)) // too late, and harmless
	}
}

func selfEnds(t *testing.T, s Suite) {
	k := newKeeper()
	asks, answers := s.pair(t, k)
	var told atomic.Int64
	for range 10 {
		asks.Send(answers.Self(), envelope("x"), func(a transport.Answer) {
			if errors.Is(a.Err, entity.ErrUnknownOutcome) {
				told.Add(1)
			}
		})
	}
	k.await(10)
	_ = asks.Close()
	if n := told.Load(); n != 10 {
		t.Errorf("when Close returned, %d of 10 knew that their outcome is unknown", n)
	}
	if a := transport.Ask(t.Context(), asks, answers.Self(), envelope("x")); !errors.Is(a.Err, entity.ErrUnavailable) || !errors.Is(a.Err, transport.ErrClosed) {
		t.Errorf("after Close: %s, want unavailable, as closed", text(a))
	}
	if _, err := asks.Open(t.Context(), answers.Self(), "tail", nil); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("after Close a stream is opened with %v, want closed", err)
	}
	if err := asks.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
}

func lastAnswers(t *testing.T, s Suite) {
	k := newKeeper()
	asks, answers := s.pair(t, k)
	const calls = 300
	told := make(chan transport.Answer, calls)
	for range calls {
		asks.Send(answers.Self(), envelope("x"), func(a transport.Answer) { told <- a })
	}
	k.await(calls)
	for _, in := range k.take() {
		in.Answer(reply(make([]byte, 1000)))
	}
	_ = answers.Close()
	for range calls {
		if a := <-told; a.Err != nil {
			t.Fatalf("got %s, want the reply", text(a))
		}
	}
}

func disconnected(t *testing.T, s Suite) {
	k := newKeeper()
	asks, answers := s.pair(t, k)
	told := make(chan transport.Answer, 1)
	asks.Send(answers.Self(), envelope("x"), func(a transport.Answer) { told <- a })
	k.await(1)
	asks.Disconnect("somebody else")
	asks.Disconnect("answers")
	if a := <-told; !errors.Is(a.Err, entity.ErrUnknownOutcome) {
		t.Errorf("got %s, want an unknown outcome", text(a))
	}
	answers.Disconnect("asks")
	go func() {
		k.await(1)
		all := k.take()
		in := all[len(all)-1]
		in.Answer(reply(in.Request.Payload))
	}()
	mustReply(t, asks, answers.Self(), "y")
}

func otherProcess(t *testing.T, s Suite) {
	k := newKeeper()
	asks, answers := s.pair(t, k)
	former := answers.Self()
	former.Node = "former"
	if a := transport.Ask(t.Context(), asks, former, envelope("x")); !errors.Is(a.Err, entity.ErrUnavailable) || !errors.Is(a.Err, transport.ErrGone) {
		t.Errorf("got %s, want unavailable, as gone", text(a))
	}
	if got := k.take(); len(got) > 0 {
		t.Errorf("%d envelopes for the former process were delivered", len(got))
	}
	anyone := transport.Peer{Address: former.Address} // when only the address is known, whoever is there
	asks.Send(anyone, envelope("y"), func(transport.Answer) {})
	k.await(1)
}

func strangers(t *testing.T, s Suite) {
	answers := s.start(t, config("answers"), echo)
	for name, change := range map[string]func(*transport.Config){
		"cluster": func(c *transport.Config) { c.Cluster = "another" },
		"history": func(c *transport.Config) { c.History = "h2" },
		"shards":  func(c *transport.Config) { c.Shards = 9 },
	} {
		cfg := config("stranger-" + name)
		change(&cfg)
		stranger := s.start(t, cfg, echo)
		for _, way := range [][2]transport.Transport{{stranger, answers}, {answers, stranger}} {
			a := transport.Ask(t.Context(), way[0], way[1].Self(), envelope("x"))
			if !errors.Is(a.Err, entity.ErrUnavailable) || !errors.Is(a.Err, transport.ErrRefused) {
				t.Errorf("of another %s: %s, want unavailable, as refused", name, text(a))
			}
		}
	}
}

// Nodes end and come again while many send. Every envelope is answered once, and one that is answered unavailable
// by the transport was not delivered.
func answeredOnceInStorm(t *testing.T, s Suite) {
	const senders, each, restarts = 8, 150, 6
	var delivered sync.Map
	h := handler{deliver: func(in *transport.Incoming) {
		delivered.Store(string(in.Request.Payload), true)
		in.Answer(reply(in.Request.Payload))
	}}
	asks := s.start(t, config("asks"), nil)
	var to atomic.Pointer[transport.Peer]
	current := s.start(t, config("answers-0"), h)
	first := current.Self()
	to.Store(&first)
	var answers atomic.Int64
	var work sync.WaitGroup
	for i := range senders {
		work.Go(func() {
			for j := range each {
				payload := fmt.Sprint(i, "-", j)
				told := make(chan transport.Answer, 2)
				asks.Send(*to.Load(), envelope(payload), func(a transport.Answer) { told <- a })
				a := <-told
				answers.Add(int64(1 + len(told)))
				_, ran := delivered.Load(payload)
				switch {
				case a.Err == nil && string(a.Response.Payload) != payload:
					t.Errorf("%s got the answer of another: %s", payload, text(a))
				case errors.Is(a.Err, entity.ErrUnavailable) && ran:
					t.Errorf("%s was delivered and answered %s", payload, text(a))
				}
				time.Sleep(100 * time.Microsecond) // spreads the senders over the restarts
			}
		})
	}
	for i := range restarts {
		time.Sleep(2 * time.Millisecond) // the life of a node
		_ = current.Close()
		current = s.start(t, config(fmt.Sprint("answers-", i+1)), h)
		next := current.Self()
		to.Store(&next)
	}
	work.Wait()
	if n := answers.Load(); n != senders*each {
		t.Errorf("%d answers to %d envelopes", n, senders*each)
	}
	eventually(t, asks, *to.Load(), func(a transport.Answer) bool { return a.Err == nil })
}

// Nobody sends when the process ends: the side that made the connection learns of it, and so does the one that took it.
func endIsTold(t *testing.T, s Suite) {
	for _, ends := range []string{"asks", "answers"} {
		gone := make(chan transport.Peer, 100)
		var members sync.Map
		cfg := map[string]transport.Config{"asks": config("asks"), "answers": config("answers")}
		for name, c := range cfg {
			c.Route = func(node string) (transport.Peer, bool) {
				p, known := members.Load(node)
				if !known {
					return transport.Peer{}, false
				}
				return p.(transport.Peer), true
			}
			c.Gone = func(p transport.Peer) {
				if name != ends {
					gone <- p
				}
			}
			cfg[name] = c
		}
		asks, answers := s.start(t, cfg["asks"], nil), s.start(t, cfg["answers"], echo)
		members.Store("asks", asks.Self())
		members.Store("answers", answers.Self())
		mustReply(t, asks, answers.Self(), "x")
		over := map[string]transport.Transport{"asks": asks, "answers": answers}[ends]
		_ = over.Close()
		if p := <-gone; p != over.Self() {
			t.Errorf("%v is told to be gone, want %v", p, over.Self())
		}
		_, _ = asks.Close(), answers.Close()
	}
}

func idleIsNoEnd(t *testing.T, s Suite) {
	looked := make(chan string, 100)
	cfg := config("asks")
	cfg.IdleAfter, cfg.PingEvery = time.Millisecond, 5*time.Millisecond
	cfg.Gone = func(p transport.Peer) { looked <- "gone: " + p.Node }
	asks := s.start(t, cfg, echo)
	cfg = config("answers")
	cfg.Gone = func(p transport.Peer) { looked <- "gone: " + p.Node }
	answers := s.start(t, cfg, echo)
	mustReply(t, asks, answers.Self(), "x")
	for end := time.Now().Add(patience); connected(asks) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond) // longer than until a look
	if connected(asks) || connected(answers) {
		t.Error("a connection that was closed for want of use was made again")
	}
	if len(looked) > 0 {
		t.Errorf("%s was told", <-looked)
	}
}

// connected tells whether a node has a connection that it made.
func connected(n transport.Transport) bool {
	for _, p := range n.(interface{ Peers() []transport.PeerState }).Peers() {
		if p.Connected {
			return true
		}
	}
	return false
}

func checked(t *testing.T, s Suite) {
	k := newKeeper()
	asks, answers := s.pair(t, k)
	cfg := config("stranger")
	cfg.Cluster = "another"
	stranger := s.start(t, cfg, echo)
	former := answers.Self()
	former.Node = "former"
	check := func(what string, who transport.Peer, want error) {
		t.Helper()
		err := transport.Check(t.Context(), asks, who)
		for end := time.Now().Add(patience); errors.Is(err, transport.ErrLost) && time.Now().Before(end); {
			err = transport.Check(t.Context(), asks, who) // it waits a second, which may pass on a busy machine
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	check("a member", answers.Self(), nil)
	check("its predecessor", former, transport.ErrGone)
	check("a stranger", stranger.Self(), transport.ErrRefused)
	if len(k.take()) > 0 {
		t.Error("the node's handler sees a check")
	}
	_ = answers.Close()
	check("a member that has ended", answers.Self(), transport.ErrGone)
}
