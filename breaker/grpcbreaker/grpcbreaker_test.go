package grpcbreaker_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/breaker"
	"github.com/skerryhq/skerry/breaker/grpcbreaker"
)

type text = wrapperspb.StringValue

const (
	charge = "/payments.v1.Payments/Charge"
	watch  = "/payments.v1.Payments/Watch"
)

var watchDesc = &grpc.StreamDesc{StreamName: "Watch", ServerStreams: true}

func mustInterceptor(t *testing.T, s breaker.Settings) (*grpcbreaker.Interceptor, *breaker.Group) {
	t.Helper()
	group, err := breaker.NewGroup(breaker.GroupConfig{
		Settings: map[string]breaker.Settings{breaker.Default: s}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	i, err := grpcbreaker.New(grpcbreaker.Config{Breakers: group})
	if err != nil {
		t.Fatal(err)
	}
	return i, group
}

// asked fails with the code that a request names.
func asked(code string) error {
	for c := codes.Canceled; c <= codes.Unauthenticated; c++ {
		if c.String() == code {
			return status.Error(c, "as asked")
		}
	}
	return nil
}

// dial serves on a real connection and returns a client's.
func dial(t *testing.T, i *grpcbreaker.Interceptor) *grpc.ClientConn {
	t.Helper()
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "payments.v1.Payments", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Charge", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var in text
			if err := decode(&in); err != nil {
				return nil, err
			}
			return &text{Value: "charged"}, asked(in.GetValue())
		}}},
		Streams: []grpc.StreamDesc{{StreamName: "Watch", ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			var in text
			if err := s.RecvMsg(&in); err != nil {
				return err
			}
			if in.GetValue() == "late" {
				if err := s.SendMsg(&text{Value: "first"}); err != nil {
					return err
				}
				return asked("Unavailable")
			}
			if err := asked(in.GetValue()); err != nil {
				return err
			}
			return s.SendMsg(&text{Value: "seen"})
		}}},
	}, nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener) //nolint:errcheck // ends with Stop
	conn, err := grpc.NewClient(listener.Addr().String(), append(i.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
	})
	return conn
}

func TestUnaryCalls(t *testing.T) {
	t.Parallel()
	i, group := mustInterceptor(t, breaker.Settings{MaxFailures: 2, CallTimeout: time.Hour, ResetTimeout: time.Hour})
	conn := dial(t, i)
	for _, ask := range []string{"OK", "NotFound", "Unavailable", "ResourceExhausted", "Internal", "Unavailable"} {
		err := conn.Invoke(t.Context(), charge, &text{Value: ask}, &text{})
		if got := status.Code(err).String(); got != ask {
			t.Errorf("asked for %s, got %v", ask, err)
		}
		var says interface{ Unavailable() bool }
		if away := errors.As(err, &says) && says.Unavailable(); away != (ask == "Unavailable" || ask == "Internal") {
			t.Errorf("asked for %s: the error says that the service is unavailable: %v", ask, away)
		}
	}
	err := conn.Invoke(t.Context(), charge, &text{}, &text{})
	var refused *breaker.Error
	if status.Code(err) != codes.Unavailable || !errors.As(err, &refused) || refused.RetryAfter() <= 0 || !errors.Is(err, breaker.ErrOpen) {
		t.Errorf("an open breaker: %v", err)
	}
	s := group.Snapshot()[0]
	if want := (breaker.Counts{Succeeded: 1, Rejected: 2, Failed: 3, Refused: 1, Opened: 1}); s.ID != "payments.v1.Payments/Charge" || s.Counts != want {
		t.Errorf("%s counted %+v; want %+v", s.ID, s.Counts, want)
	}
}

func TestACallerThatHasGoneMakesNoCall(t *testing.T) {
	t.Parallel()
	i, group := mustInterceptor(t, breaker.Settings{})
	conn := dial(t, i)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := conn.Invoke(ctx, charge, &text{}, &text{})
	if status.Code(err) != codes.Canceled || group.Snapshot()[0].Counts != (breaker.Counts{}) {
		t.Error(err)
	}
}

func TestStreams(t *testing.T) {
	t.Parallel()
	for ask, want := range map[string]struct {
		messages int
		code     codes.Code
		counts   breaker.Counts
	}{
		"ok":          {1, codes.OK, breaker.Counts{Succeeded: 1}},
		"NotFound":    {0, codes.NotFound, breaker.Counts{Rejected: 1}},
		"Unavailable": {0, codes.Unavailable, breaker.Counts{Failed: 1, Opened: 1}},
		"late":        {1, codes.Unavailable, breaker.Counts{Succeeded: 1}},
	} {
		i, group := mustInterceptor(t, breaker.Settings{MaxFailures: 1, CallTimeout: time.Hour, ResetTimeout: time.Hour})
		conn := dial(t, i)
		messages, err := receive(t, conn, ask)
		if messages != want.messages || status.Code(err) != want.code {
			t.Errorf("%s: %d messages, then %v", ask, messages, err)
		}
		if c := group.Snapshot()[0].Counts; c != want.counts {
			t.Errorf("%s: counted %+v; want %+v", ask, c, want.counts)
		}
		if want.counts.Opened > 0 {
			if _, err := receive(t, conn, "ok"); !errors.Is(err, breaker.ErrOpen) || status.Code(err) != codes.Unavailable {
				t.Errorf("an open breaker: %v", err)
			}
		}
	}
}

func receive(t *testing.T, conn *grpc.ClientConn, ask string) (messages int, err error) {
	t.Helper()
	s, err := conn.NewStream(t.Context(), watchDesc, watch)
	if err != nil {
		return 0, err
	}
	if err := s.SendMsg(&text{Value: ask}); err != nil {
		return 0, err
	}
	if err := s.CloseSend(); err != nil {
		return 0, err
	}
	for {
		err := s.RecvMsg(&text{})
		if errors.Is(err, io.EOF) {
			return messages, nil
		}
		if err != nil {
			return messages, err
		}
		messages++
	}
}

// stream is one without a network.
type stream struct {
	grpc.ClientStream
	ctx      context.Context //nolint:containedctx // the stream's
	messages chan error
}

func (s *stream) RecvMsg(any) error {
	select {
	case err := <-s.messages:
		return err
	case <-s.ctx.Done():
		return status.FromContextError(s.ctx.Err()).Err()
	}
}

func TestTimeOnAStream(t *testing.T) {
	t.Parallel()
	for name, play := range map[string]func(t *testing.T, s grpc.ClientStream, messages chan error, cancel func()) (want breaker.Counts){
		"the first message is late": func(t *testing.T, s grpc.ClientStream, _ chan error, _ func()) breaker.Counts {
			if err := s.RecvMsg(nil); status.Code(err) != codes.DeadlineExceeded || !errors.Is(err, breaker.ErrTimeout) {
				t.Error(err)
			}
			return breaker.Counts{TimedOut: 1}
		},
		"later ones may be": func(t *testing.T, s grpc.ClientStream, messages chan error, _ func()) breaker.Counts {
			for range 2 {
				messages <- nil
				if err := s.RecvMsg(nil); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Hour)
			}
			return breaker.Counts{Succeeded: 1}
		},
		"the caller gives up": func(t *testing.T, s grpc.ClientStream, _ chan error, cancel func()) breaker.Counts {
			cancel()
			if err := s.RecvMsg(nil); status.Code(err) != codes.Canceled {
				t.Error(err)
			}
			return breaker.Counts{Abandoned: 1}
		},
		"the caller goes without a word": func(_ *testing.T, _ grpc.ClientStream, _ chan error, cancel func()) breaker.Counts {
			cancel()
			return breaker.Counts{Abandoned: 1}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				i, group := mustInterceptor(t, breaker.Settings{MaxConcurrent: 5})
				inner := &stream{messages: make(chan error, 1)}
				ctx, cancel := context.WithCancel(t.Context())
				s, err := i.Stream(ctx, watchDesc, nil, watch, func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
					inner.ctx = ctx
					return inner, nil
				})
				if err != nil {
					t.Fatal(err)
				}
				want := play(t, s, inner.messages, cancel)
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
