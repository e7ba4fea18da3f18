package transporttest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

func callParts() []part {
	return []part{
		{"every field of an envelope arrives", everyField},
		{"every kind of answer comes back", everyAnswer},
		{"each caller gets its own answer, whatever the order", ownAnswer},
		{"a full peer is busy at once, and has room again later", busyAtOnce},
		{"a receiver bounds what one peer leaves with it", receiverBounds},
		{"an envelope over the limit fails alone", tooLargeAlone},
		{"an answer over the limit fails alone", answerTooLarge},
		{"what time is over for is not sent", noTime},
		{"an envelope is forwarded through a third node, once", forwarded},
		{"before it serves, a node is unavailable", notServing},
		{"a second answer does nothing", answeredOnce},
		{"a key of a timer never leaves its node", foreignKey},
	}
}

func everyField(t *testing.T, s Suite) {
	k := newKeeper()
	asks, answers := s.pair(t, k)
	version := uint64(0)
	numbered := entity.NewClientKeys().Open(journal.Entity{Type: "lot", ID: "7"}, time.Unix(12, 34))
	for _, e := range []transport.Envelope{
		{Request: entity.Request{
			Type: "lot", ID: "7", Command: "Bid", Payload: []byte("payload"), Key: entity.CallerKey("k"), Attempt: 3,
			IfVersion: &version, Async: true, Principal: "ann", Cause: "c", Trace: "t",
		}, Epoch: 9, Remaining: time.Minute},
		{Request: entity.Request{
			Type: "lot", ID: "ü\x00\xff", Command: "Look", Local: true, Query: true,
			After: journal.Token{History: "h1"}.With(2, 9).With(7, 1<<60),
		}, Remaining: time.Minute},
		{Request: entity.Request{Type: "lot", ID: "7", Key: entity.CallerKey("k"), Lookup: true, After: journal.Token{History: "h1"}}, Remaining: time.Minute},
		{Request: entity.Request{Key: numbered}, Remaining: time.Nanosecond * 1e9},
		{Request: entity.Request{Payload: []byte{0}, Key: entity.CallerKey("")}, Subject: "offer", Destination: "answers", Remaining: time.Minute},
	} {
		sent := e
		asks.Send(answers.Self(), &sent, func(transport.Answer) {})
		k.await(1)
		in := k.take()[0]
		if in.From != asks.Self() && in.From.Node != "asks" {
			t.Errorf("it comes from %v, want %v", in.From, asks.Self())
		}
		if in.Remaining <= 0 || in.Remaining > e.Remaining {
			t.Errorf("%v is left of %v", in.Remaining, e.Remaining)
		}
		got := in.Envelope
		got.Remaining = e.Remaining
		if !reflect.DeepEqual(got, e) {
			t.Errorf("arrived as\n%+v, was\n%+v", got, e)
		}
		in.Answer(reply(nil))
	}
}

func everyAnswer(t *testing.T, s Suite) {
	var next atomic.Pointer[transport.Answer]
	asks, answers := s.pair(t, handler{deliver: func(in *transport.Incoming) { in.Answer(*next.Load()) }})
	failure := func(kind error) error {
		return &entity.Error{Kind: kind, Reason: "why ü", RetryAfter: 3 * time.Second}
	}
	for _, want := range []transport.Answer{
		{Response: &entity.Response{Payload: []byte("p"), Receipt: entity.Receipt{Version: 4, Token: journal.Token{History: "h1"}.With(3, 9), Repeated: true}}},
		{Response: &entity.Response{Receipt: entity.Receipt{Token: journal.Token{History: "h1"}.With(3, 9).With(4, 0)}}},
		{Response: &entity.Response{}},
		{Err: &entity.Rejection{Code: "low", Message: "bid more", Version: 7}},
		{Err: &entity.Rejection{Code: "skerry/key-reused"}},
		{Err: failure(entity.ErrUnavailable)},
		{Err: failure(entity.ErrBusy)},
		{Err: failure(entity.ErrUnknownOutcome)},
		{Err: failure(entity.ErrFailed)},
		{Err: failure(entity.ErrRunning)},
		{Err: failure(entity.ErrNotKnown)},
		{Err: &transport.Moved{Shard: 3, Node: "n2", Epoch: 12, Reason: "claimed"}},
	} {
		next.Store(&want)
		got := transport.Ask(t.Context(), asks, answers.Self(), envelope(""))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %s, want %s", text(got), text(want))
		}
	}
	next.Store(&transport.Answer{Err: errors.New("without a kind")})
	if got := transport.Ask(t.Context(), asks, answers.Self(), envelope("")); !errors.Is(got.Err, entity.ErrUnknownOutcome) {
		t.Errorf("an error without a kind comes as %s, want an unknown outcome", text(got))
	}
}

// The peer answers in the opposite order, from another goroutine.
func ownAnswer(t *testing.T, s Suite) {
	const callers, rounds = 50, 20
	k := newKeeper()
	asks, answers := s.pair(t, k)
	for round := range rounds {
		var calls sync.WaitGroup
		for i := range callers {
			calls.Go(func() {
				payload := fmt.Sprint(round, "-", i)
				a := transport.Ask(t.Context(), asks, answers.Self(), envelope(payload))
				if a.Err != nil || string(a.Response.Payload) != payload {
					t.Errorf("got %s, want %q", text(a), payload)
				}
			})
		}
		k.await(callers)
		all := k.take()
		for i := range all {
			in := all[len(all)-1-i]
			in.Answer(reply(in.Request.Payload))
		}
		calls.Wait()
	}
}

func busyAtOnce(t *testing.T, s Suite) {
	k := newKeeper()
	cfg := config("asks")
	cfg.MaxCalls = 3
	asks, answers := s.start(t, cfg, nil), s.start(t, config("answers"), k)
	var ended sync.WaitGroup
	for range 3 {
		ended.Add(1)
		asks.Send(answers.Self(), envelope("x"), func(transport.Answer) { ended.Done() })
	}
	told := make(chan transport.Answer, 1)
	asks.Send(answers.Self(), envelope("x"), func(a transport.Answer) { told <- a })
	select {
	case a := <-told:
		if !errors.Is(a.Err, entity.ErrBusy) {
			t.Errorf("with 3 of 3 under way: %s, want busy", text(a))
		}
	default:
		t.Errorf("with 3 of 3 under way the fourth is not answered at once")
	}
	k.await(3)
	for _, in := range k.take() {
		in.Answer(reply(nil))
	}
	ended.Wait()
	asks.Send(answers.Self(), envelope("y"), func(a transport.Answer) { told <- a })
	k.await(1)
	k.take()[0].Answer(reply([]byte("y")))
	if a := <-told; a.Err != nil {
		t.Errorf("with room again: %s", text(a))
	}
}

func receiverBounds(t *testing.T, s Suite) {
	k := newKeeper()
	cfg := config("answers")
	cfg.MaxCalls = 2
	asks, answers := s.start(t, config("asks"), nil), s.start(t, cfg, k)
	told := make(chan transport.Answer, 5)
	for range 5 {
		asks.Send(answers.Self(), envelope("x"), func(a transport.Answer) { told <- a })
	}
	for range 3 {
		if a := <-told; !errors.Is(a.Err, entity.ErrBusy) {
			t.Errorf("beyond the receiver's bound: %s, want busy", text(a))
		}
	}
	for _, in := range k.take() {
		in.Answer(reply(nil))
	}
	for range 2 {
		if a := <-told; a.Err != nil {
			t.Errorf("within the receiver's bound: %s", text(a))
		}
	}
}

const least = 64 << 10 // the least that MaxMessageBytes may be

func tooLargeAlone(t *testing.T, s Suite) {
	small, large := config("asks"), config("answers")
	small.MaxMessageBytes = 2 * least
	large.MaxMessageBytes = least
	for name, pair := range map[string][2]transport.Config{"the sender's limit": {large, small}, "the receiver's limit": {small, large}} {
		asks, answers := s.start(t, pair[0], nil), s.start(t, pair[1], echo)
		payloads := []string{"a", strings.Repeat("x", least+1), "b"}
		told := make([]chan transport.Answer, len(payloads))
		for i, payload := range payloads {
			told[i] = make(chan transport.Answer, 1)
			asks.Send(answers.Self(), envelope(payload), func(a transport.Answer) { told[i] <- a })
		}
		for i, payload := range payloads {
			a := <-told[i]
			switch {
			case i == 1 && !errors.Is(a.Err, entity.ErrTooLarge):
				t.Errorf("%s: %d bytes: %s, want too large", name, len(payload), text(a))
			case i != 1 && (a.Err != nil || string(a.Response.Payload) != payload):
				t.Errorf("%s: %q beside it: %s", name, payload, text(a))
			}
		}
		_, _ = asks.Close(), answers.Close()
	}
}

func answerTooLarge(t *testing.T, s Suite) {
	cfg := config("answers")
	cfg.MaxMessageBytes = least
	asks := s.start(t, config("asks"), nil)
	answers := s.start(t, cfg, handler{deliver: func(in *transport.Incoming) { in.Answer(reply(make([]byte, 2*least))) }})
	command, query := envelope("x"), envelope("x")
	query.Request.Query = true
	if a := transport.Ask(t.Context(), asks, answers.Self(), command); !errors.Is(a.Err, entity.ErrUnknownOutcome) {
		t.Errorf("a command that has run: %s, want an unknown outcome", text(a))
	}
	if a := transport.Ask(t.Context(), asks, answers.Self(), query); !errors.Is(a.Err, entity.ErrFailed) {
		t.Errorf("a query: %s, want failed", text(a))
	}
}

func noTime(t *testing.T, s Suite) {
	k := newKeeper()
	asks, answers := s.pair(t, k)
	e := envelope("x")
	e.Remaining = 0
	if a := transport.Ask(t.Context(), asks, answers.Self(), e); !errors.Is(a.Err, entity.ErrUnavailable) {
		t.Errorf("without time left: %s, want unavailable", text(a))
	}
	for left := 300 * time.Millisecond; ; left *= 2 {
		e = envelope("y")
		e.Remaining = left
		a := transport.Ask(t.Context(), asks, answers.Self(), e)
		if errors.Is(a.Err, entity.ErrUnavailable) && left < patience {
			continue // a slow machine has not connected yet: it was not sent
		}
		if !errors.Is(a.Err, entity.ErrUnknownOutcome) || !errors.Is(a.Err, transport.ErrLost) {
			t.Errorf("when time is over: %s, want an unknown outcome", text(a))
		}
		break
	}
	k.await(1)
	late := k.take()
	if len(late) != 1 || string(late[0].Request.Payload) != "y" {
		t.Fatalf("%d envelopes came, want the one that had time", len(late))
	}
	late[0].Answer(reply([]byte("late"))) // nobody waits for it, and nobody else gets it
	go func() {
		k.await(1)
		k.take()[0].Answer(reply([]byte("z")))
	}()
	mustReply(t, asks, answers.Self(), "z")
}

func forwarded(t *testing.T, s Suite) {
	k := newKeeper()
	last := newKeeper()
	another := s.start(t, config("another"), last)
	cfg := config("target")
	cfg.Route = func(string) (transport.Peer, bool) { return another.Self(), true }
	target := s.start(t, cfg, k)
	cfg = config("relay")
	cfg.Route = func(node string) (transport.Peer, bool) { return target.Self(), node != "nowhere" }
	relay := s.start(t, cfg, echo)
	asks := s.start(t, config("asks"), nil)

	e := envelope("x")
	e.Destination = "target"
	told := make(chan transport.Answer, 1)
	asks.Send(relay.Self(), e, func(a transport.Answer) { told <- a })
	k.await(1)
	in := k.take()[0]
	if in.Origin != "asks" || in.From.Node != "relay" || in.Remaining <= 0 || in.Remaining > e.Remaining {
		t.Errorf("it came from %v, at first from %q, with %v left", in.From, in.Origin, in.Remaining)
	}
	in.Answer(transport.Answer{Err: &transport.Moved{Node: "n3"}})
	var moved *transport.Moved
	if a := <-told; !errors.As(a.Err, &moved) || moved.Node != "n3" {
		t.Errorf("the answer came back as %s", text(a))
	}
	for _, destination := range []string{"nowhere", "another"} { // of the second the relay has a wrong address, where one knows the right one
		e := envelope("x")
		e.Destination = destination
		if a := transport.Ask(t.Context(), asks, relay.Self(), e); !errors.Is(a.Err, entity.ErrUnavailable) {
			t.Errorf("to %s: %s, want unavailable", destination, text(a))
		}
	}
	if got := append(k.take(), last.take()...); len(got) > 0 {
		t.Errorf("%d envelopes were delivered to others, or through two nodes", len(got))
	}
}

func notServing(t *testing.T, s Suite) {
	asks, answers := s.pair(t, nil)
	if a := transport.Ask(t.Context(), asks, answers.Self(), envelope("x")); !errors.Is(a.Err, entity.ErrUnavailable) {
		t.Errorf("got %s, want unavailable", text(a))
	}
	answers.Serve(echo)
	mustReply(t, asks, answers.Self(), "y")
}

func answeredOnce(t *testing.T, s Suite) {
	asks, answers := s.pair(t, handler{deliver: func(in *transport.Incoming) {
		in.Answer(reply(in.Request.Payload))
		in.Answer(reply([]byte("again")))
	}})
	for i := range 100 {
		mustReply(t, asks, answers.Self(), fmt.Sprint(i))
	}
}

func foreignKey(t *testing.T, s Suite) {
	asks, answers := s.pair(t, echo)
	e := envelope("x")
	e.Request.Key.Kind = 3
	if a := transport.Ask(t.Context(), asks, answers.Self(), e); !errors.Is(a.Err, entity.ErrMalformed) {
		t.Errorf("got %s, want malformed", text(a))
	}
}
