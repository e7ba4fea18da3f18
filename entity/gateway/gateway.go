package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/skerryhq/skerry/entity"
)

// gateway turns requests into calls. It may be used by any number of requests at once.
type gateway struct {
	Config
	catalog catalog
	// requests holds a place for each request under way; bytes counts the room that
	// their bodies may take.
	requests chan struct{}
	bytes    atomic.Int64
}

// New returns the handler of all paths below /v1/entities. Everything else is
// answered 404, so it can be mounted at "/v1/" or at "/", beside other handlers.
//
// Each request is bounded in size and time, and so are all of them together. The
// handler starts no goroutines.
func New(cfg Config) (http.Handler, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	known, err := newCatalog(cfg.Types)
	if err != nil {
		return nil, err
	}
	return &gateway{Config: cfg, catalog: known, requests: make(chan struct{}, cfg.MaxRequests)}, nil
}

// ServeHTTP implements http.Handler.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer g.survive(w, r)
	select {
	case g.requests <- struct{}{}:
		defer func() { <-g.requests }()
	default:
		g.fail(w, r, busy("%d requests are under way, the limit", g.MaxRequests))
		return
	}
	if err := g.serve(w, r); err != nil {
		g.fail(w, r, err)
	}
}

func (g *gateway) serve(w http.ResponseWriter, r *http.Request) error {
	target, err := g.catalog.route(r.Method, r.URL.EscapedPath())
	if err != nil {
		return err
	}
	if err := g.CrossOrigin.Check(r); err != nil {
		return refuse(http.StatusForbidden, codeCrossOrigin, "%v", err).
			remedied("Send it from a page of this server, or from a program that is no browser.")
	}
	if target.index != nil {
		return writeMessage(w, http.StatusOK, target.index, complete)
	}
	return g.call(w, r, target)
}

// call sends one command or query and writes its answer.
func (g *gateway) call(w http.ResponseWriter, r *http.Request, t target) error {
	meta, err := readMeta(r, t.command.Query, g.Timeout)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), meta.timeout)
	defer cancel()
	req, release, err := g.request(w, r, t, meta)
	if err != nil {
		return err
	}
	defer release()
	if t.id == "" {
		w.Header().Set(headerEntityID, req.ID)
	}
	if err := ctx.Err(); err != nil {
		return &entity.Error{Kind: entity.ErrUnavailable, Reason: "its deadline passed before it was sent to the entity", Cause: err}
	}
	resp, err := g.Caller.Call(ctx, req)
	if err != nil {
		return ofCall(err, meta.key != "")
	}
	return writeReply(w, t, req, resp)
}

// request puts together what the caller gets. release gives the room of the body
// back; it is to be called when the answer is there.
func (g *gateway) request(w http.ResponseWriter, r *http.Request, t target, meta meta) (_ *entity.Request, release func(), err error) {
	principal, err := g.Principal(r)
	if err != nil {
		return nil, nil, refuse(http.StatusUnauthorized, codeUnauthenticated, "%v", err).
			remedied("Send credentials that this service takes.")
	}
	room, err := g.reserve(r)
	if err != nil {
		return nil, nil, err
	}
	release = func() { g.bytes.Add(-room) }
	payload, err := readMessage(w, r, t.command, g.MaxBodyBytes)
	if err != nil {
		release()
		return nil, nil, err
	}
	req := &entity.Request{
		Type: t.typ, ID: t.id, Command: t.command.Name, Payload: payload,
		IfVersion: meta.ifVersion, Local: meta.local, Principal: principal, Trace: meta.trace,
	}
	if meta.key != "" {
		req.Key = entity.CallerKey(meta.key)
	}
	if req.ID == "" {
		req.ID = makeID(t.typ, principal, meta.key)
	}
	return req, release, nil
}

// reserve takes room for a request's body, or tells that there is none.
func (g *gateway) reserve(r *http.Request) (room int64, err error) {
	room = r.ContentLength
	if room > int64(g.MaxBodyBytes) {
		return 0, tooLarge(g.MaxBodyBytes)
	}
	if room < 0 {
		room = int64(g.MaxBodyBytes)
	}
	if g.bytes.Add(room) > int64(g.MaxRequestBytes) {
		g.bytes.Add(-room)
		return 0, busy("the bodies of the requests under way fill %d bytes, the limit", g.MaxRequestBytes)
	}
	return room, nil
}

func busy(format string, args ...any) error {
	return &entity.Error{Kind: entity.ErrBusy, Reason: "the gateway is full: " + fmt.Sprintf(format, args...), RetryAfter: time.Second}
}

// fail answers with an error. Only defects are logged as errors: a rejection is
// an answer like any other, and whoever hangs up does no wrong.
func (g *gateway) fail(w http.ResponseWriter, r *http.Request, err error) {
	ctx, log := r.Context(), g.Logger.With("method", r.Method, "path", r.URL.EscapedPath())
	if errors.Is(ctx.Err(), context.Canceled) {
		log.DebugContext(ctx, "the client went away before its answer", "error", err)
	}
	p := problemOf(err)
	switch {
	case p.status == http.StatusInternalServerError:
		log.ErrorContext(ctx, "a request met a defect", "code", p.body.GetCode(), "error", err)
	case p.status > http.StatusInternalServerError:
		log.DebugContext(ctx, "a request was not answered", "code", p.body.GetCode(), "error", err)
	}
	p.write(w)
}

// survive answers for a handler that panicked. Whether its command ran is not known.
func (g *gateway) survive(w http.ResponseWriter, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(cause) // the server's own way to end a connection
	}
	g.Logger.LogAttrs(r.Context(), slog.LevelError, "a request panicked", slog.String("path", r.URL.EscapedPath()),
		slog.Any("panic", cause), slog.String("stack", string(debug.Stack())))
	p := problemOf(&entity.Error{Kind: entity.ErrUnknownOutcome, Reason: "the gateway panicked while it served the request"})
	p.status = http.StatusInternalServerError
	p.write(w)
}
