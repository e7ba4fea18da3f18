package transporttest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
)

// Suite says how to get at the transports under test.
type Suite struct {
	// Start starts a node of one network; the test closes it. Required.
	Start func(t *testing.T, cfg transport.Config) transport.Transport
	// FakeTime runs each part in a bubble of testing/synctest.
	FakeTime bool
}

// Run runs the whole contract, each part on nodes of its own. New is called once for each part.
func Run(t *testing.T, newSuite func(t *testing.T) Suite) {
	t.Helper()
	for _, p := range append(append(callParts(), faultParts()...), streamParts()...) {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			s := newSuite(t)
			if s.FakeTime {
				synctest.Test(t, func(t *testing.T) { p.run(t, s) })
				return
			}
			p.run(t, s)
		})
	}
}

type part struct {
	name string
	run  func(t *testing.T, s Suite)
}

// patience bounds what may take long on a busy machine only. No part is about the time that anything takes.
const patience = 3 * time.Minute

// config is a node's of the cluster that all parts use.
func config(node string) transport.Config {
	return transport.Config{
		Node: node, Cluster: "contract", History: "h1", Shards: 8, Logger: slog.New(slog.DiscardHandler),
		MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond,
		DialTimeout: patience, HelloTimeout: patience, DeadAfter: patience, FrameTimeout: patience,
	}
}

// start starts a node that serves h, which may be nil.
func (s Suite) start(t *testing.T, cfg transport.Config, h transport.Handler) transport.Transport {
	t.Helper()
	n := s.Start(t, cfg)
	if h != nil {
		n.Serve(h)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// pair starts a node that asks and one that answers with h.
func (s Suite) pair(t *testing.T, h transport.Handler) (asks, answers transport.Transport) {
	t.Helper()
	return s.start(t, config("asks"), nil), s.start(t, config("answers"), h)
}

// handler serves by functions.
type handler struct {
	deliver func(in *transport.Incoming)
	accept  func(ctx context.Context, s *transport.Stream) error
}

func (h handler) Deliver(in *transport.Incoming) { h.deliver(in) }

// echo answers each envelope with its payload.
var echo = handler{deliver: func(in *transport.Incoming) { in.Answer(reply(in.Request.Payload)) }}

func reply(payload []byte) transport.Answer {
	return transport.Answer{Response: &entity.Response{Payload: payload}}
}

func envelope(payload string) *transport.Envelope {
	return &transport.Envelope{
		Request:   entity.Request{Type: "lot", ID: "7", Command: "Bid", Payload: []byte(payload)},
		Remaining: patience,
	}
}

// keeper keeps envelopes instead of answering them.
type keeper struct {
	mu    sync.Mutex
	kept  []*transport.Incoming
	comes chan struct{}
}

func newKeeper() *keeper { return &keeper{comes: make(chan struct{}, 1<<16)} }

func (k *keeper) Deliver(in *transport.Incoming) {
	k.mu.Lock()
	k.kept = append(k.kept, in)
	k.mu.Unlock()
	k.comes <- struct{}{}
}

// await waits until n more envelopes have come.
func (k *keeper) await(n int) {
	for range n {
		<-k.comes
	}
}

func (k *keeper) take() []*transport.Incoming {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := k.kept
	k.kept = nil
	return all
}

// mustReply asks and wants the payload back.
func mustReply(t *testing.T, n transport.Transport, to transport.Peer, payload string) {
	t.Helper()
	a := transport.Ask(t.Context(), n, to, envelope(payload))
	if a.Err != nil || string(a.Response.Payload) != payload {
		t.Fatalf("%s asks %s: got %s, want %q", n.Self(), to, text(a), payload)
	}
}

func text(a transport.Answer) string {
	if a.Err != nil {
		return fmt.Sprintf("%T %v", a.Err, a.Err)
	}
	return fmt.Sprintf("reply %+v", *a.Response)
}

// eventually asks until want says that the answer is the one.
func eventually(t *testing.T, n transport.Transport, to transport.Peer, want func(transport.Answer) bool) {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		a := transport.Ask(t.Context(), n, to, envelope("again"))
		if want(a) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s asks %s: after %v still %s", n.Self(), to, patience, text(a))
		}
		time.Sleep(time.Millisecond) // leaves the peer alone between two tries, as a caller does
	}
}

// Accept serves a stream.
func (h handler) Accept(ctx context.Context, s *transport.Stream) error {
	if h.accept == nil {
		return errors.New("no streams here")
	}
	return h.accept(ctx, s)
}

// Accept refuses streams.
func (k *keeper) Accept(context.Context, *transport.Stream) error {
	return errors.New("no streams here")
}
