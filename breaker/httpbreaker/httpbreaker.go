package httpbreaker

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/skerryhq/skerry/breaker"
)

// Config of a [Transport].
type Config struct {
	// Breakers holds the breakers. Required.
	Breakers *breaker.Group
	// ID names the breaker of a request. It should not depend on what the request is about: there
	// is a breaker for each. Default: the URL's host.
	ID func(*http.Request) string
	// Base sends the requests. Default: http.DefaultTransport.
	Base http.RoundTripper
	// Outcome tells what a response says about the service. Default: OutcomeOf.
	Outcome func(*http.Response) breaker.Outcome
	// Streams tells which responses count with their headers. Default: IsStream.
	Streams func(*http.Response) bool
}

// Transport is an http.RoundTripper with breakers.
type Transport struct{ cfg Config }

// New returns a Transport.
func New(cfg Config) (*Transport, error) {
	if cfg.Breakers == nil {
		return nil, errors.New("httpbreaker: Config.Breakers is missing: give a breaker.Group")
	}
	if cfg.ID == nil {
		cfg.ID = func(r *http.Request) string { return r.URL.Host }
	}
	if cfg.Base == nil {
		cfg.Base = http.DefaultTransport
	}
	if cfg.Outcome == nil {
		cfg.Outcome = OutcomeOf
	}
	if cfg.Streams == nil {
		cfg.Streams = IsStream
	}
	return &Transport{cfg}, nil
}

// OutcomeOf takes 5xx for failed, 4xx for rejected, and all else for succeeded.
func OutcomeOf(r *http.Response) breaker.Outcome {
	switch {
	case r.StatusCode >= http.StatusInternalServerError:
		return breaker.Failed
	case r.StatusCode >= http.StatusBadRequest:
		return breaker.Rejected
	}
	return breaker.Succeeded
}

// IsStream knows event streams, the streams of gRPC and Connect, and connections that change to another
// protocol.
func IsStream(r *http.Response) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	switch kind = strings.TrimSpace(strings.ToLower(kind)); {
	case r.StatusCode == http.StatusSwitchingProtocols, kind == "text/event-stream":
		return true
	}
	return strings.HasPrefix(kind, "application/grpc") || strings.HasPrefix(kind, "application/connect+")
}

// StatusError is a response that counted as a failure, as the log shows it. The client gets the response.
type StatusError struct{ Code int }

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("status %d %s", e.Code, http.StatusText(e.Code))
}

// RoundTrip implements http.RoundTripper. The error of a request that was refused is a *breaker.Error.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	call, err := t.cfg.Breakers.Breaker(t.cfg.ID(r)).Start(r.Context())
	if err != nil {
		if r.Body != nil {
			r.Body.Close() // as a RoundTripper does; nothing was sent
		}
		return nil, err
	}
	returned := false
	defer func() {
		if !returned {
			call.EndAs(breaker.Failed, errors.New("the call panicked")) //nolint:errcheck // the panic goes on
		}
	}()
	resp, err := t.cfg.Base.RoundTrip(r.WithContext(call.Context()))
	returned = true
	if err != nil {
		return nil, call.End(err)
	}
	b := &body{ReadCloser: resp.Body, call: call, outcome: t.cfg.Outcome(resp)}
	if b.outcome == breaker.Failed {
		b.status = &StatusError{resp.StatusCode}
	}
	switch {
	case resp.Body == nil || resp.Body == http.NoBody:
		b.end()
		return resp, nil
	case b.outcome != breaker.Failed && t.cfg.Streams(resp):
		call.Answered()
	}
	resp.Body = b
	if w, ok := b.ReadCloser.(io.Writer); ok {
		resp.Body = &duplex{b, w}
	}
	return resp, nil
}

// body ends the call when it ends.
type body struct {
	io.ReadCloser
	call    *breaker.Call
	outcome breaker.Outcome
	status  error
}

func (b *body) end() {
	b.call.EndAs(b.outcome, b.status) //nolint:errcheck // the response is what the caller gets
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		b.end()
	case err != nil:
		err = b.call.End(err)
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err
}

// duplex is the body of a connection that has changed to another protocol.
type duplex struct {
	*body
	io.Writer
}
