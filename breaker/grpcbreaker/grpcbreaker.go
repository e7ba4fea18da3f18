package grpcbreaker

import (
	"context"
	"errors"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/skerryhq/skerry/breaker"
)

// Config of an [Interceptor].
type Config struct {
	// Breakers holds the breakers. Required.
	Breakers *breaker.Group
	// ID names the breaker of a method, given as gRPC does, such as /payments.v1.Payments/Charge. Default: without the first
	// slash, so that settings under payments.v1.Payments are those of all its methods.
	ID func(method string) string
	// Outcome tells what an error says about the service. Default: OutcomeOf.
	Outcome func(error) breaker.Outcome
}

// Interceptor has the interceptors of a client.
type Interceptor struct{ cfg Config }

// New returns an Interceptor.
func New(cfg Config) (*Interceptor, error) {
	if cfg.Breakers == nil {
		return nil, errors.New("grpcbreaker: Config.Breakers is missing: give a breaker.Group")
	}
	if cfg.ID == nil {
		cfg.ID = func(method string) string { return strings.TrimPrefix(method, "/") }
	}
	if cfg.Outcome == nil {
		cfg.Outcome = OutcomeOf
	}
	return &Interceptor{cfg}, nil
}

// DialOptions are both interceptors, innermost so far.
func (i *Interceptor) DialOptions() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithChainUnaryInterceptor(i.Unary), grpc.WithChainStreamInterceptor(i.Stream)}
}

// OutcomeOf sorts errors by their code.
func OutcomeOf(err error) breaker.Outcome {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Internal, codes.Unknown, codes.DataLoss:
		return breaker.Failed
	case codes.Canceled:
		return breaker.Abandoned
	}
	return breaker.Rejected
}

// Error is a breaker's error with its status.
type Error struct {
	// Of is what the breaker said.
	Of *breaker.Error
}

// Error implements error.
func (e *Error) Error() string { return e.Of.Error() }

// GRPCStatus is what status.FromError looks for.
func (e *Error) GRPCStatus() *status.Status {
	if e.Of.Refused() {
		return status.New(codes.Unavailable, e.Error())
	}
	return status.New(codes.DeadlineExceeded, e.Error())
}

// Unwrap returns the breaker's error.
func (e *Error) Unwrap() error { return e.Of }

// coded gives the errors of breakers and contexts their status.
func coded(err error) error {
	var own *breaker.Error
	if errors.As(err, &own) {
		return &Error{own}
	}
	if err == context.Canceled || err == context.DeadlineExceeded { //nolint:errorlint // bare, from a context
		return status.FromContextError(err).Err()
	}
	return err
}

// end ends a call with what it brought. What counts is looked at again by the breaker, which knows its caller.
func (i *Interceptor) end(call *breaker.Call, err error) error {
	if err == nil {
		return call.End(nil)
	}
	if o := i.cfg.Outcome(err); o != breaker.Failed {
		return coded(call.EndAs(o, err))
	}
	return &failedError{coded(call.End(err))}
}

// failedError is an error that counted as a failure, for whoever sorts errors and does not know gRPC: it
// is the service that fails, not the request.
type failedError struct{ error }

func (e *failedError) Unwrap() error { return e.error }

// Unavailable is true.
func (*failedError) Unavailable() bool { return true }

// GRPCStatus is what status.FromError looks for.
func (e *failedError) GRPCStatus() *status.Status { return status.Convert(e.error) }

// Unary is a grpc.UnaryClientInterceptor.
func (i *Interceptor) Unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	call, err := i.cfg.Breakers.Breaker(i.cfg.ID(method)).Start(ctx)
	if err != nil {
		return coded(err)
	}
	returned := false
	defer func() {
		if !returned {
			call.EndAs(breaker.Failed, errors.New("the call panicked")) //nolint:errcheck // the panic goes on
		}
	}()
	err = invoke(call.Context(), method, req, reply, cc, opts...)
	returned = true
	return i.end(call, err)
}

// Stream is a grpc.StreamClientInterceptor.
func (i *Interceptor) Stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	call, err := i.cfg.Breakers.Breaker(i.cfg.ID(method)).Start(ctx)
	if err != nil {
		return nil, coded(err)
	}
	inner, err := open(call.Context(), desc, cc, method, opts...)
	if err != nil {
		return nil, i.end(call, err)
	}
	s := &stream{ClientStream: inner, of: i, call: call, single: !desc.ServerStreams}
	// A caller that goes without a word ends the call all the same.
	s.forget = context.AfterFunc(ctx, func() {
		call.End(ctx.Err()) //nolint:errcheck // the stream tells its caller
	})
	return s, nil
}

// stream ends the call when it ends.
type stream struct {
	grpc.ClientStream
	of     *Interceptor
	call   *breaker.Call
	forget func() bool
	single bool // the service sends one message
}

// RecvMsg implements grpc.ClientStream.
func (s *stream) RecvMsg(msg any) error {
	err := s.ClientStream.RecvMsg(msg)
	switch {
	case err == nil && !s.single:
		s.call.Answered()
		return nil
	case err == nil, errors.Is(err, io.EOF):
		s.forget()
		s.call.EndAs(breaker.Succeeded, nil) //nolint:errcheck // the end of the stream is what the caller gets
		return err
	}
	s.forget()
	return s.of.end(s.call, err)
}

// SendMsg implements grpc.ClientStream.
func (s *stream) SendMsg(msg any) error {
	err := s.ClientStream.SendMsg(msg)
	if err != nil && !errors.Is(err, io.EOF) {
		s.forget()
		return s.of.end(s.call, err)
	}
	return err // io.EOF: what went wrong comes from RecvMsg
}
