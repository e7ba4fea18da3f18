package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	"github.com/skerryhq/skerry/journal"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

// What may happen to an attempt on its way, beside what the service answers.
var (
	errRefused    = errors.New("nothing is written: the connection is refused")
	errLostBefore = errors.New("it is written, and lost before it arrives")
	errLostAfter  = errors.New("it arrives, and the answer is lost")
)

// script is a network and a service behind it: each attempt meets the next step, and the last one from
// then on. A step is one of the errors above, an error of the service, or nil for a reply.
type script struct {
	mu      sync.Mutex
	steps   []error
	hosts   []string
	arrived []entity.Request
	handler http.Handler
}

// Call is the service.
func (s *script) Call(_ context.Context, req *entity.Request) (*entity.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived = append(s.arrived, *req)
	if err := s.step(); err != nil && !errors.Is(err, errLostAfter) {
		return nil, err
	}
	payload, _ := proto.Marshal(&adminv1.Shard{Head: uint64(len(s.hosts))})
	return &entity.Response{Payload: payload, Receipt: entity.Receipt{Version: 4, Token: journal.Token{History: "h"}.With(2, 9), Repeated: true}}, nil
}

func (s *script) step() error { return s.steps[min(len(s.hosts), len(s.steps))-1] }

// RoundTrip is the network.
func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.hosts = append(s.hosts, r.URL.Host)
	step := s.step()
	s.mu.Unlock()
	trace := httptrace.ContextClientTrace(r.Context())
	trace.GetConn(r.URL.Host)
	if errors.Is(step, errRefused) {
		return nil, step
	}
	trace.WroteHeaders()
	if errors.Is(step, errLostBefore) {
		return nil, step
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	if errors.Is(step, errLostAfter) {
		return nil, step
	}
	return w.Result(), r.Context().Err()
}

// dial makes a client of a script.
func dial(t testing.TB, s *script, urls ...string) *gateway.Client {
	t.Helper()
	s.handler = serve(t, s, nil)
	if len(urls) == 0 {
		urls = []string{"http://one"}
	}
	c, err := gateway.Dial(gateway.ClientConfig{URLs: urls, HTTP: &http.Client{Transport: s}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func busy(after time.Duration) error {
	return &entity.Error{Kind: entity.ErrBusy, Reason: "full", RetryAfter: after}
}

var (
	errUnavailable = &entity.Error{Kind: entity.ErrUnavailable, Reason: "no disk"}
	errUnknown     = &entity.Error{Kind: entity.ErrUnknownOutcome, Reason: "lost its owner"}
	errFailed      = &entity.Error{Kind: entity.ErrFailed, Reason: "a defect"}
	errLow         = entity.Reject("low", "bid more")
	errVersion     = no("skerry/version-mismatch")
	errReused      = no("skerry/key-reused")
	errMalformed   = no("skerry/malformed")
)

// A call's answer is over all its attempts: each line is what they meet, what the call says, and the attempt numbers
// that the service saw.
func TestAnswerIsOverAllAttempts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		steps    []error
		want     error
		attempts string
	}{
		"reply":                                 {[]error{nil}, nil, "[1]"},
		"rejection":                             {[]error{errLow}, errLow, "[1]"},
		"malformed":                             {[]error{errMalformed}, entity.ErrMalformed, "[1]"},
		"failed":                                {[]error{errFailed}, entity.ErrFailed, "[1]"},
		"unavailable, then a reply":             {[]error{errUnavailable, busy(0), nil}, nil, "[1 1 1]"},
		"unavailable, then a rejection":         {[]error{errUnavailable, errLow}, errLow, "[1 1]"},
		"unavailable, then failed":              {[]error{errUnavailable, errFailed}, entity.ErrFailed, "[1 1]"},
		"refused, then a reply":                 {[]error{errRefused, nil}, nil, "[1]"},
		"refused for ever":                      {[]error{errRefused}, entity.ErrUnavailable, "[]"},
		"lost before, then a reply":             {[]error{errLostBefore, nil}, nil, "[2]"},
		"lost after, then a reply":              {[]error{errLostAfter, nil}, nil, "[1 2]"},
		"unknown, then a reply":                 {[]error{errUnknown, nil}, nil, "[1 2]"},
		"lost twice, then a reply":              {[]error{errLostAfter, errLostBefore, nil}, nil, "[1 3]"},
		"lost, then a stored rejection":         {[]error{errLostAfter, errLow}, errLow, "[1 2]"},
		"lost, then another version":            {[]error{errLostAfter, errVersion}, entity.ErrVersionMismatch, "[1 2]"},
		"lost, then the key of another":         {[]error{errLostAfter, errReused}, entity.ErrKeyReused, "[1 2]"},
		"lost, then unavailable, then a reply":  {[]error{errLostAfter, errUnavailable, nil}, nil, "[1 2 2]"},
		"lost, then refused, then a reply":      {[]error{errLostAfter, errRefused, nil}, nil, "[1 2]"},
		"lost, then failed, then a reply":       {[]error{errLostAfter, errFailed, nil}, nil, "[1 2 2]"},
		"lost, then malformed, then a reply":    {[]error{errLostAfter, errMalformed, nil}, nil, "[1 2 2]"},
		"lost, then malformed for ever":         {[]error{errLostAfter, errMalformed}, entity.ErrUnknownOutcome, ""},
		"lost, then failed for ever":            {[]error{errLostAfter, errFailed}, entity.ErrUnknownOutcome, ""},
		"lost, then unavailable for ever":       {[]error{errLostAfter, errUnavailable}, entity.ErrUnknownOutcome, ""},
		"lost, then refused for ever":           {[]error{errLostAfter, errRefused}, entity.ErrUnknownOutcome, "[1]"},
		"lost for ever":                         {[]error{errLostAfter}, entity.ErrUnknownOutcome, ""},
		"busy for ever":                         {[]error{busy(0)}, entity.ErrBusy, ""},
		"unavailable, then lost, then rejected": {[]error{errUnavailable, errLostBefore, errLow}, errLow, "[1 2]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: test.steps}
				c := dial(t, s)
				defer func() { _ = c.Close() }()
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				began := time.Now()
				resp, err := c.Call(ctx, &entity.Request{Type: "timer", ID: "7", Command: "Timer"})
				switch {
				case test.want == nil && (err != nil || resp.Receipt.Version != 4 || resp.Receipt.Token.String() != "h.2:9" || !resp.Receipt.Repeated):
					t.Errorf("got %+v, %v, want the reply", resp, err)
				case test.want != nil && !errors.Is(err, test.want) && fmt.Sprint(err) != fmt.Sprint(test.want):
					t.Errorf("got %v, want %v", err, test.want)
				}
				if took := time.Since(began); took > 3*time.Second {
					t.Errorf("it took %v, longer than the caller's deadline", took)
				}
				var attempts []int
				keys := map[entity.CommandKey]bool{}
				for _, r := range s.arrived {
					attempts = append(attempts, r.Attempt)
					keys[r.Key] = true
				}
				if got := fmt.Sprint(attempts); test.attempts != "" && got != test.attempts {
					t.Errorf("the service saw the attempts %s, want %s", got, test.attempts)
				}
				if len(keys) > 1 || keys[entity.CommandKey{}] {
					t.Errorf("the service saw %d keys", len(keys))
				}
			})
		})
	}
}

// A transport that does not say how far a request came may have sent it.
type silent struct{}

func (silent) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("broken") }

func TestWhatCannotBeWatchedMayHaveRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := gateway.Dial(gateway.ClientConfig{URLs: []string{"http://one"}, HTTP: &http.Client{Transport: silent{}}, Timeout: 10 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := c.Call(t.Context(), &entity.Request{Type: "timer", ID: "7", Command: "Timer"}); !errors.Is(err, entity.ErrUnknownOutcome) {
			t.Errorf("got %v, want an unknown outcome", err)
		}
	})
}

func TestServiceIsLeftAloneAsLongAsItAsks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []error{busy(time.Second), nil}}
		c := dial(t, s)
		defer func() { _ = c.Close() }()
		began := time.Now()
		if _, err := c.Call(t.Context(), &entity.Request{Type: "timer", ID: "7", Command: "Timer"}); err != nil || time.Since(began) < time.Second {
			t.Errorf("got %v after %v, want a reply after 1 s at least", err, time.Since(began))
		}
		s = &script{steps: []error{busy(time.Second)}}
		c = dial(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
		defer cancel()
		began = time.Now()
		if _, err := c.Call(ctx, &entity.Request{Type: "timer", ID: "7", Command: "Timer"}); !errors.Is(err, entity.ErrBusy) || time.Since(began) > 0 {
			t.Errorf("got %v after %v, want busy at once: the deadline is before the time to come back", err, time.Since(began))
		}
	})
}

func TestNextGatewayIsTriedAtOnceWhenOneIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []error{errRefused, nil}}
		c := dial(t, s, "http://one", "http://two/")
		defer func() { _ = c.Close() }()
		began := time.Now()
		for range 3 {
			if _, err := c.Call(t.Context(), &entity.Request{Type: "timer", ID: "7", Command: "Timer"}); err != nil {
				t.Fatal(err)
			}
		}
		if want := []string{"one", "two", "two", "two"}; !slices.Equal(s.hosts, want) || time.Since(began) > 0 {
			t.Errorf("asked %q within %v, want %q at once", s.hosts, time.Since(began), want)
		}
	})
}

// A sick service gets the repeats that the budget allows, not those that many callers would send.
func TestRepeatsAreWithinABudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []error{errUnavailable}}
		c := dial(t, s)
		defer func() { _ = c.Close() }()
		var calls sync.WaitGroup
		const callers = 2000
		for range callers {
			calls.Go(func() {
				if _, err := c.Call(t.Context(), &entity.Request{Type: "timer", ID: "7", Command: "Timer"}); !errors.Is(err, entity.ErrUnavailable) {
					t.Errorf("got %v, want unavailable", err)
				}
			})
		}
		calls.Wait()
		if repeats := len(s.arrived) - callers; repeats < 1000 || repeats > 1000+5*100+1 {
			t.Errorf("%d repeats in 5 s, want about 1,000 and 100 a second", repeats)
		}
	})
}

func TestAsyncAndLookupPassThrough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		version := uint64(7)
		for _, req := range []entity.Request{
			{Type: "timer", ID: "7", Command: "Timer", Payload: []byte("\x0a\x01n"), Key: entity.CallerKey("k"), Async: true, IfVersion: &version, Cause: "c", Trace: "t"},
			{Type: "timer", ID: "7", Key: entity.CallerKey("k"), Lookup: true},
			{Type: "timer", ID: "7", Command: "Empty", Local: true, After: journal.Token{History: "h"}.With(2, 9)},
		} {
			s := &script{steps: []error{nil}}
			c := dial(t, s)
			if _, err := c.Call(t.Context(), &req); err != nil {
				t.Fatal(err)
			}
			_ = c.Close()
			got := s.arrived[0]
			got.Attempt = 0
			if got.Command == "Empty" {
				got.Key = entity.CommandKey{}
			}
			if len(got.Payload) == 0 {
				got.Payload = nil
			}
			if fmt.Sprintf("%+v", deref(got)) != fmt.Sprintf("%+v", deref(req)) {
				t.Errorf("arrived as %+v, was %+v", got, req)
			}
		}
		for kind, steps := range map[error][]error{entity.ErrRunning: {&entity.Error{Kind: entity.ErrRunning}}, entity.ErrNotKnown: {errLostAfter, &entity.Error{Kind: entity.ErrNotKnown}}} {
			c := dial(t, &script{steps: steps})
			if _, err := c.Call(t.Context(), &entity.Request{Type: "timer", ID: "7", Key: entity.CallerKey("k"), Lookup: true}); !errors.Is(err, kind) {
				t.Errorf("got %v, want %v", err, kind)
			}
			_ = c.Close()
		}
	})
}

// deref makes a request comparable by its text.
func deref(r entity.Request) any {
	version := fmt.Sprint(r.IfVersion != nil && *r.IfVersion == 7)
	r.IfVersion = nil
	return []any{r, version}
}

// Each call tells the oldest number that is open, and one that ended unknown stays open.
func TestNumberStaysOpenUntilTheOutcomeIsKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []error{nil, errLow, errLostAfter}}
		c := dial(t, s)
		defer func() { _ = c.Close() }()
		ask := func() entity.CommandKey {
			_, _ = c.Call(t.Context(), &entity.Request{Type: "timer", ID: "7", Command: "Timer"})
			return s.arrived[len(s.arrived)-1].Key
		}
		for i, oldest := range []uint64{1, 2, 3, 3} {
			if k := ask(); k.Number != uint64(i+1) || k.Oldest != oldest {
				t.Errorf("call %d has number %d, oldest %d; want oldest %d", i+1, k.Number, k.Oldest, oldest)
			}
		}
	})
}

func TestClosedClientRefusesAndEndsItsCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := dial(t, &script{steps: []error{busy(2 * time.Second)}})
		ended := make(chan error)
		go func() {
			_, err := c.Call(t.Context(), &entity.Request{Type: "timer", ID: "7", Command: "Timer"})
			ended <- err
		}()
		synctest.Wait()
		go func() { _ = c.Close() }()
		if err := <-ended; !errors.Is(err, entity.ErrBusy) || !errors.Is(err, context.Canceled) {
			t.Errorf("the call under way ended with %v, want busy and cancelled", err)
		}
		if _, err := c.Call(t.Context(), &entity.Request{}); !errors.Is(err, entity.ErrUnavailable) {
			t.Errorf("a call to a closed client ended with %v, want unavailable", err)
		}
	})
}

func TestClientRefusesWhatItCannotCarry(t *testing.T) {
	t.Parallel()
	c := dial(t, &script{steps: []error{nil}})
	if _, err := c.Call(t.Context(), &entity.Request{Type: "timer", ID: "7", Command: "Timer", Principal: "ann"}); !errors.Is(err, entity.ErrMalformed) {
		t.Errorf("a principal of the client's own is answered %v, want malformed", err)
	}
	for name, cfg := range map[string]gateway.ClientConfig{
		"URLs is empty": {}, "http://HOST:PORT": {URLs: []string{"localhost:8080"}}, `"ftp://x"`: {URLs: []string{"ftp://x"}},
		"Timeout": {URLs: []string{"http://x"}, Timeout: -1}, "MaxCalls": {URLs: []string{"http://x"}, MaxCalls: -1},
	} {
		if _, err := gateway.Dial(cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%+v gives %v, want an error with %q", cfg, err, name)
		}
	}
}

// What a gateway says before it reads a message has its kind on the other side too.
func TestGatewaysOwnAnswersKeepTheirKind(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*gateway.Config)
		want   error
		takes  time.Duration
	}{
		"nobody": {func(c *gateway.Config) {
			c.Principal = func(*http.Request) (string, error) { return "", errors.New("no") }
		}, nil, time.Minute},
		"too large": {func(c *gateway.Config) { c.MaxBodyBytes = 10 }, entity.ErrTooLarge, time.Minute},
		"panic":     {func(c *gateway.Config) { c.Caller = nilCaller{} }, entity.ErrUnknownOutcome, 2 * time.Second}, // it is sent again and again
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := listen(t, serve(t, answering(nil), test.change))
			c, err := gateway.Dial(gateway.ClientConfig{URLs: []string{url}, Timeout: test.takes, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_, err = c.Call(t.Context(), &entity.Request{Type: "timer", ID: "7", Command: "Timer", Payload: make([]byte, 100)})
			var refused *entity.Rejection
			switch {
			case test.want == nil && (!errors.As(err, &refused) || refused.Code != "skerry/unauthenticated"):
				t.Errorf("got %v, want unauthenticated", err)
			case test.want != nil && !errors.Is(err, test.want):
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

type nilCaller struct{}

func (nilCaller) Call(context.Context, *entity.Request) (*entity.Response, error) { panic("boom") }

// A token on a command means nothing to it, and makes no query of it.
func TestACommandWithATokenIsStillACommand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []error{errLostAfter, errUnavailable}}
		c := dial(t, s)
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Call(ctx, &entity.Request{Type: "timer", ID: "7", Command: "Timer", After: journal.Token{History: "h"}, Local: true})
		if !errors.Is(err, entity.ErrUnknownOutcome) {
			t.Errorf("one attempt may have run, and the call ends with %v", err)
		}
	})
}
