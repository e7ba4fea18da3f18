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

	"connectrpc.com/connect"

	"github.com/skerryhq/skerry/entity"
)

// gateway turns requests into calls. It may be used by any number of requests at once.
type gateway struct {
	Config
	catalog    catalog
	procedures map[string]*procedure // by path
	rpcErrors  *connect.ErrorWriter
	// requests holds a place for each request that waits for its answer; bytes counts
	// the room that bodies take.
	requests chan struct{}
	bytes    atomic.Int64
}

// New returns the handler of all paths below /v1/entities, of the procedures of
// [Config.Services], and of skerry.api.v1.Entities, which [Dial] speaks to. Everything else is
// answered 404, so it can be mounted at "/", beside other handlers.
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
	g := &gateway{Config: cfg, catalog: known, requests: make(chan struct{}, cfg.MaxRequests), rpcErrors: connect.NewErrorWriter()}
	g.procedures = map[string]*procedure{entitiesCall: g.generic()}
	for _, s := range cfg.Services {
		if err := g.add(s); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// ServeHTTP implements http.Handler.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer g.survive(w, r)
	var err error
	if p := g.procedures[r.URL.Path]; p != nil {
		err = g.serveProcedure(w, r, p)
	} else {
		err = g.serve(w, r)
	}
	if err != nil {
		g.fail(w, r, err)
	}
}

func (g *gateway) serve(w http.ResponseWriter, r *http.Request) error {
	target, err := g.catalog.route(r.Method, r.URL.EscapedPath())
	if err != nil {
		return err
	}
	if err := g.checkOrigin(r); err != nil {
		return err
	}
	switch {
	case target.index != nil:
		return writeMessage(w, http.StatusOK, target.index, complete)
	case target.key != "":
		return g.lookUp(w, r, target)
	}
	return g.call(w, r, target)
}

func (g *gateway) checkOrigin(r *http.Request) error {
	if err := g.CrossOrigin.Check(r); err != nil {
		return refuse(http.StatusForbidden, codeCrossOrigin, "%v", err).
			remedied("Send it from a page of this server, or from a program that is no browser.")
	}
	return nil
}

// call sends one command or query and writes its answer.
func (g *gateway) call(w http.ResponseWriter, r *http.Request, t target) error {
	meta, err := readMeta(r, t.command.Query, g.Timeout)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), meta.timeout)
	defer cancel()
	principal, err := g.principal(r)
	if err != nil {
		return err
	}
	body, err := g.open(w, r, int64(g.MaxBodyBytes))
	if err != nil {
		return err
	}
	defer body.done()
	payload, err := readMessage(r, body, t.command)
	if err != nil {
		return err
	}
	req := newRequest(t, meta, principal, payload)
	if t.id == "" {
		w.Header().Set(headerEntityID, req.ID)
	}
	resp, err := g.ask(ctx, req)
	switch {
	case err != nil:
		return ofCall(err, meta.key != "")
	case req.Async:
		return writeAccepted(w, t, req)
	}
	return writeReply(w, t, req, resp)
}

// newRequest puts together what the caller gets.
func newRequest(t target, m meta, principal string, payload []byte) *entity.Request {
	req := &entity.Request{
		Type: t.typ, ID: t.id, Command: t.command.Name, Payload: payload,
		IfVersion: m.ifVersion, Local: m.local, After: m.after, Async: m.async, Principal: principal, Trace: m.trace,
	}
	if m.key != "" {
		req.Key = entity.CallerKey(m.key)
	}
	if req.ID == "" {
		req.ID = makeID(t.typ, principal, m.key)
	}
	return req
}

// ask gives a request to the caller, if there is a place for it. Only here do requests wait
// for an answer, so only here are they counted: one whose body is still to come takes nobody's place.
func (g *gateway) ask(ctx context.Context, req *entity.Request) (*entity.Response, error) {
	select {
	case g.requests <- struct{}{}:
		defer func() { <-g.requests }()
	default:
		return nil, busy("%d requests are under way, the limit", g.MaxRequests)
	}
	if err := ctx.Err(); err != nil {
		return nil, &entity.Error{Kind: entity.ErrUnavailable, Reason: "its deadline passed before it was sent to the entity", Cause: err}
	}
	return g.Caller.Call(ctx, req)
}

// principal tells who sends a request.
func (g *gateway) principal(r *http.Request) (string, error) {
	name, err := g.Principal(r)
	if err != nil {
		return "", refuse(http.StatusUnauthorized, codeUnauthenticated, "%v", err).
			remedied("Send credentials that this service takes.")
	}
	return name, nil
}

func busy(format string, args ...any) error {
	return &entity.Error{Kind: entity.ErrBusy, Reason: "the gateway is full: " + fmt.Sprintf(format, args...), RetryAfter: time.Second}
}

// fail answers with an error. Only defects are logged as errors: a rejection is
// an answer like any other, and whoever hangs up does no wrong.
func (g *gateway) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	g.note(r.Context(), g.Logger.With("method", r.Method, "path", r.URL.EscapedPath()), p, err)
	g.write(w, r, p)
}

func (g *gateway) note(ctx context.Context, log *slog.Logger, p *problem, err error) {
	if errors.Is(ctx.Err(), context.Canceled) {
		log.DebugContext(ctx, "the client went away before its answer", "error", err)
	}
	switch {
	case p.status == http.StatusInternalServerError:
		log.ErrorContext(ctx, "a request met a defect", "code", p.body.GetCode(), "error", err)
	case p.status > http.StatusInternalServerError:
		log.DebugContext(ctx, "a request was not answered", "code", p.body.GetCode(), "error", err)
	}
}

// write answers in the protocol of the request.
func (g *gateway) write(w http.ResponseWriter, r *http.Request, p *problem) {
	rpc := g.procedures[r.URL.Path] != nil || r.Method == http.MethodPost && isProcedure(r.URL.Path)
	if rpc && g.rpcErrors.IsSupported(r) {
		_ = g.rpcErrors.Write(w, r, p.rpc(r.Header)) // whoever hung up does not miss it
		return
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
	g.write(w, r, p)
}
