package connectbreaker_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/breaker"
	"github.com/skerryhq/skerry/breaker/connectbreaker"
)

type text = wrapperspb.StringValue

const (
	charge = "/payments.v1.Payments/Charge"
	watch  = "/payments.v1.Payments/Watch"
)

func mustInterceptor(t *testing.T, s breaker.Settings) (*connectbreaker.Interceptor, *breaker.Group) {
	t.Helper()
	group, err := breaker.NewGroup(breaker.GroupConfig{
		Settings: map[string]breaker.Settings{breaker.Default: s}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	i, err := connectbreaker.New(connectbreaker.Config{Breakers: group})
	if err != nil {
		t.Fatal(err)
	}
	return i, group
}

func TestCodesThatCount(t *testing.T) {
	t.Parallel()
	failed := map[connect.Code]bool{
		connect.CodeUnavailable: true, connect.CodeDeadlineExceeded: true, connect.CodeInternal: true, connect.CodeUnknown: true, connect.CodeDataLoss: true,
	}
	for code := connect.CodeCanceled; code <= connect.CodeUnauthenticated; code++ {
		want := breaker.Rejected
		switch {
		case failed[code]:
			want = breaker.Failed
		case code == connect.CodeCanceled:
			want = breaker.Abandoned
		}
		if got := connectbreaker.OutcomeOf(connect.NewError(code, errors.New("x"))); got != want {
			t.Errorf("%v is %v; want %v", code, got, want)
		}
	}
}

// service answers over real connections: what it is told to, by the text of the request.
func service(t *testing.T) (url string, calls *atomic.Int32) {
	t.Helper()
	calls = &atomic.Int32{}
	answer := func(ask string) error {
		calls.Add(1)
		for code := connect.CodeCanceled; code <= connect.CodeUnauthenticated; code++ {
			if code.String() == ask {
				return connect.NewError(code, errors.New("as asked"))
			}
		}
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle(charge, connect.NewUnaryHandler(charge, func(_ context.Context, r *connect.Request[text]) (*connect.Response[text], error) {
		return connect.NewResponse(&text{Value: "charged"}), answer(r.Msg.GetValue())
	}))
	mux.Handle(watch, connect.NewServerStreamHandler(watch, func(_ context.Context, r *connect.Request[text], s *connect.ServerStream[text]) error {
		if r.Msg.GetValue() == "late" {
			if err := s.Send(&text{Value: "first"}); err != nil {
				return err
			}
			return answer("unavailable")
		}
		if err := answer(r.Msg.GetValue()); err != nil {
			return err
		}
		return s.Send(&text{Value: "seen"})
	}))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL, calls
}

func TestUnaryCalls(t *testing.T) {
	t.Parallel()
	url, calls := service(t)
	i, group := mustInterceptor(t, breaker.Settings{MaxFailures: 2, CallTimeout: time.Hour, ResetTimeout: time.Hour})
	client := connect.NewClient[text, text](http.DefaultClient, url+charge, connect.WithInterceptors(i))
	for _, ask := range []string{"ok", "not_found", "unavailable", "resource_exhausted", "internal", "unavailable"} {
		_, err := client.CallUnary(t.Context(), connect.NewRequest(&text{Value: ask}))
		if got := connect.CodeOf(err).String(); ask != "ok" && got != ask || ask == "ok" && err != nil {
			t.Errorf("asked for %s, got %v", ask, err)
		}
		var says interface{ Unavailable() bool }
		if away := errors.As(err, &says) && says.Unavailable(); away != (ask == "unavailable" || ask == "internal") {
			t.Errorf("asked for %s: the error says that the service is unavailable: %v", ask, away)
		}
	}
	_, err := client.CallUnary(t.Context(), connect.NewRequest(&text{}))
	var refused *breaker.Error
	if connect.CodeOf(err) != connect.CodeUnavailable || !errors.As(err, &refused) || refused.RetryAfter() <= 0 || calls.Load() != 6 {
		t.Errorf("an open breaker: %v after %d calls", err, calls.Load())
	}
	s := group.Snapshot()[0]
	if want := (breaker.Counts{Succeeded: 1, Rejected: 2, Failed: 3, Refused: 1, Opened: 1}); s.ID != "payments.v1.Payments/Charge" || s.Counts != want {
		t.Errorf("%s counted %+v; want %+v", s.ID, s.Counts, want)
	}
}

func TestStreams(t *testing.T) {
	t.Parallel()
	url, _ := service(t)
	for ask, want := range map[string]struct {
		messages int
		code     connect.Code
		counts   breaker.Counts
	}{
		"ok":          {1, 0, breaker.Counts{Succeeded: 1}},
		"not_found":   {0, connect.CodeNotFound, breaker.Counts{Rejected: 1}},
		"unavailable": {0, connect.CodeUnavailable, breaker.Counts{Failed: 1, Opened: 1}},
		"late":        {1, connect.CodeUnavailable, breaker.Counts{Succeeded: 1}},
	} {
		i, group := mustInterceptor(t, breaker.Settings{MaxFailures: 1, CallTimeout: time.Hour, ResetTimeout: time.Hour})
		client := connect.NewClient[text, text](http.DefaultClient, url+watch, connect.WithInterceptors(i))
		messages, err := receive(t, client, ask)
		if messages != want.messages || want.code == 0 && err != nil || want.code != 0 && connect.CodeOf(err) != want.code {
			t.Errorf("%s: %d messages, then %v", ask, messages, err)
		}
		if c := group.Snapshot()[0].Counts; c != want.counts {
			t.Errorf("%s: counted %+v; want %+v", ask, c, want.counts)
		}
		if want.counts.Opened > 0 {
			if _, err := receive(t, client, "ok"); !errors.Is(err, breaker.ErrOpen) || connect.CodeOf(err) != connect.CodeUnavailable {
				t.Errorf("an open breaker: %v", err)
			}
		}
	}
}

func receive(t *testing.T, client *connect.Client[text, text], ask string) (messages int, err error) {
	t.Helper()
	stream, err := client.CallServerStream(t.Context(), connect.NewRequest(&text{Value: ask}))
	if err != nil {
		return 0, err
	}
	defer stream.Close()
	for stream.Receive() {
		messages++
	}
	return messages, stream.Err()
}

// conn is a stream without a network.
type conn struct {
	connect.StreamingClientConn
	ctx      context.Context //nolint:containedctx // the stream's
	messages chan error
}

func (c *conn) Receive(any) error {
	select {
	case err := <-c.messages:
		return err
	case <-c.ctx.Done():
		return connect.NewError(connect.CodeCanceled, c.ctx.Err())
	}
}

func (*conn) CloseResponse() error { return nil }

func TestTimeOnAStream(t *testing.T) {
	t.Parallel()
	for name, play := range map[string]func(t *testing.T, s connect.StreamingClientConn, c *conn, cancel func()) (want breaker.Counts){
		"the first message is late": func(t *testing.T, s connect.StreamingClientConn, _ *conn, _ func()) breaker.Counts {
			if err := s.Receive(nil); connect.CodeOf(err) != connect.CodeDeadlineExceeded || !errors.Is(err, breaker.ErrTimeout) {
				t.Error(err)
			}
			return breaker.Counts{TimedOut: 1}
		},
		"later ones may be": func(t *testing.T, s connect.StreamingClientConn, c *conn, _ func()) breaker.Counts {
			for range 2 {
				c.messages <- nil
				if err := s.Receive(nil); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Hour)
			}
			return breaker.Counts{Succeeded: 1}
		},
		"the caller gives up": func(t *testing.T, s connect.StreamingClientConn, _ *conn, cancel func()) breaker.Counts {
			cancel()
			if err := s.Receive(nil); connect.CodeOf(err) != connect.CodeCanceled {
				t.Error(err)
			}
			return breaker.Counts{Abandoned: 1}
		},
		"the caller goes without a word": func(_ *testing.T, _ connect.StreamingClientConn, _ *conn, cancel func()) breaker.Counts {
			cancel()
			return breaker.Counts{Abandoned: 1}
		},
		"the caller closes before there is an answer": func(t *testing.T, s connect.StreamingClientConn, _ *conn, _ func()) breaker.Counts {
			if err := s.CloseResponse(); err != nil {
				t.Error(err)
			}
			return breaker.Counts{Abandoned: 1}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				i, group := mustInterceptor(t, breaker.Settings{MaxConcurrent: 5})
				c := &conn{messages: make(chan error, 1)}
				ctx, cancel := context.WithCancel(t.Context())
				s := i.WrapStreamingClient(func(ctx context.Context, _ connect.Spec) connect.StreamingClientConn { c.ctx = ctx; return c })(ctx, connect.Spec{Procedure: watch})
				want := play(t, s, c, cancel)
				synctest.Wait()
				if got := group.Snapshot()[0].Counts; got != want {
					t.Errorf("counted %+v; want %+v", got, want)
				}
				cancel()
				synctest.Wait()
				if busy := group.Snapshot()[0].Busy; busy != 0 {
					t.Errorf("%d places are still held", busy)
				}
			})
		})
	}
}

func TestACallerThatHasGoneMakesNoCall(t *testing.T) {
	t.Parallel()
	url, calls := service(t)
	i, group := mustInterceptor(t, breaker.Settings{})
	client := connect.NewClient[text, text](http.DefaultClient, url+charge, connect.WithInterceptors(i))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := client.CallUnary(ctx, connect.NewRequest(&text{}))
	if connect.CodeOf(err) != connect.CodeCanceled || calls.Load() != 0 || group.Snapshot()[0].Counts != (breaker.Counts{}) {
		t.Errorf("%v, %d calls", err, calls.Load())
	}
}

func TestAHandlerIsLeftAlone(t *testing.T) {
	t.Parallel()
	i, group := mustInterceptor(t, breaker.Settings{})
	handler := httptest.NewServer(connect.NewUnaryHandler(charge, func(context.Context, *connect.Request[text]) (*connect.Response[text], error) {
		return nil, errors.New("broken")
	}, connect.WithInterceptors(i)))
	defer handler.Close()
	client := connect.NewClient[text, text](http.DefaultClient, handler.URL)
	if _, err := client.CallUnary(t.Context(), connect.NewRequest(&text{})); err == nil || len(group.Snapshot()) != 0 {
		t.Errorf("%v, %+v", err, group.Snapshot())
	}
}
