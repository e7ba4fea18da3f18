package connectbreaker

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"connectrpc.com/connect"

	"github.com/skerryhq/skerry/breaker"
)

// Config of an [Interceptor].
type Config struct {
	// Breakers holds the breakers. Required.
	Breakers *breaker.Group
	// ID names the breaker of a procedure. Default: service/Method, such as payments.v1.Payments/Charge, so that
	// settings under payments.v1.Payments are those of all its methods.
	ID func(connect.Spec) string
	// Outcome tells what an error says about the service. Default: OutcomeOf.
	Outcome func(error) breaker.Outcome
}

// Interceptor is a connect.Interceptor for clients. In a handler it does nothing.
type Interceptor struct{ cfg Config }

var _ connect.Interceptor = (*Interceptor)(nil)

// New returns an Interceptor.
func New(cfg Config) (*Interceptor, error) {
	if cfg.Breakers == nil {
		return nil, errors.New("connectbreaker: Config.Breakers is missing: give a breaker.Group")
	}
	if cfg.ID == nil {
		cfg.ID = func(s connect.Spec) string { return strings.TrimPrefix(s.Procedure, "/") }
	}
	if cfg.Outcome == nil {
		cfg.Outcome = OutcomeOf
	}
	return &Interceptor{cfg}, nil
}

// OutcomeOf sorts errors by their code.
func OutcomeOf(err error) breaker.Outcome {
	switch connect.CodeOf(err) {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeInternal, connect.CodeUnknown, connect.CodeDataLoss:
		return breaker.Failed
	case connect.CodeCanceled:
		return breaker.Abandoned
	}
	return breaker.Rejected
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

// failedError is an error that counted as a failure, for whoever sorts errors and does not know Connect: it
// is the service that fails, not the request.
type failedError struct{ error }

func (e *failedError) Unwrap() error { return e.error }

// Unavailable is true.
func (*failedError) Unavailable() bool { return true }

// coded gives the errors of breakers and contexts their codes.
func coded(err error) error {
	var own *breaker.Error
	switch {
	case errors.As(err, &own):
	case errors.Is(err, context.Canceled) && connect.CodeOf(err) == connect.CodeUnknown:
		return connect.NewError(connect.CodeCanceled, err)
	case errors.Is(err, context.DeadlineExceeded) && connect.CodeOf(err) == connect.CodeUnknown:
		return connect.NewError(connect.CodeDeadlineExceeded, err)
	default:
		return err
	}
	if own.Refused() {
		return connect.NewError(connect.CodeUnavailable, own)
	}
	return connect.NewError(connect.CodeDeadlineExceeded, own)
}

// WrapUnary implements connect.Interceptor.
func (i *Interceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if !req.Spec().IsClient {
			return next(ctx, req)
		}
		call, err := i.cfg.Breakers.Breaker(i.cfg.ID(req.Spec())).Start(ctx)
		if err != nil {
			return nil, coded(err)
		}
		returned := false
		defer func() {
			if !returned {
				call.EndAs(breaker.Failed, errors.New("the call panicked")) //nolint:errcheck // the panic goes on
			}
		}()
		resp, err := next(call.Context(), req)
		returned = true
		return resp, i.end(call, err)
	}
}

// WrapStreamingHandler implements connect.Interceptor.
func (*Interceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// WrapStreamingClient implements connect.Interceptor.
func (i *Interceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		call, err := i.cfg.Breakers.Breaker(i.cfg.ID(spec)).Start(ctx)
		if err != nil {
			return &refused{spec: spec, err: coded(err)}
		}
		s := &stream{StreamingClientConn: next(call.Context(), spec), of: i, call: call}
		// A caller that goes without a word ends the call all the same.
		s.forget = context.AfterFunc(ctx, func() {
			call.End(ctx.Err()) //nolint:errcheck // the stream tells its caller
		})
		return s
	}
}

// stream ends the call when it ends.
type stream struct {
	connect.StreamingClientConn
	of     *Interceptor
	call   *breaker.Call
	forget func() bool
}

// Receive implements connect.StreamingClientConn.
func (s *stream) Receive(msg any) error {
	err := s.StreamingClientConn.Receive(msg)
	switch {
	case err == nil:
		s.call.Answered()
		return nil
	case errors.Is(err, io.EOF):
		s.forget()
		s.call.EndAs(breaker.Succeeded, nil) //nolint:errcheck // the end of the stream is what the caller gets
		return err
	}
	s.forget()
	return s.of.end(s.call, err)
}

// Send implements connect.StreamingClientConn.
func (s *stream) Send(msg any) error {
	err := s.StreamingClientConn.Send(msg)
	if err != nil && s.call.TimedOut() {
		s.forget()
		return s.of.end(s.call, err)
	}
	return err // io.EOF: what went wrong comes from Receive
}

// CloseResponse implements connect.StreamingClientConn.
func (s *stream) CloseResponse() error {
	err := s.StreamingClientConn.CloseResponse()
	s.forget()
	s.call.EndAs(breaker.Abandoned, nil) //nolint:errcheck // counts only if nothing was received
	return err
}

// refused is the stream of a call that was not made.
type refused struct {
	spec            connect.Spec
	err             error
	header, trailer http.Header
}

func (r *refused) Spec() connect.Spec           { return r.spec }
func (*refused) Peer() connect.Peer             { return connect.Peer{} }
func (r *refused) Send(any) error               { return r.err }
func (r *refused) RequestHeader() http.Header   { return made(&r.header) }
func (*refused) CloseRequest() error            { return nil }
func (r *refused) Receive(any) error            { return r.err }
func (r *refused) ResponseHeader() http.Header  { return made(&r.header) }
func (r *refused) ResponseTrailer() http.Header { return made(&r.trailer) }
func (*refused) CloseResponse() error           { return nil }

func made(h *http.Header) http.Header {
	if *h == nil {
		*h = http.Header{}
	}
	return *h
}
