package admin

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

// Prober is a node that tells how long it has owed what it owes: an [entity.Host], or a cluster.Node. Health waits for the
// answers of the node's parts until ctx ends, and then tells who did not answer.
type Prober interface {
	Health(ctx context.Context) entity.Health
}

// HealthConfig says how long a node may owe what. A zero field means the default that its comment gives.
type HealthConfig struct {
	// StuckAfter is how long a shard or the node's loop may not answer a question. Default 10 s. After that /livez
	// fails: nothing but a restart helps. The limits below concern /readyz alone, which fails then as well.
	StuckAfter time.Duration
	// CommandLimit is how long a command may be unanswered, or a handler not return that somebody waited for. Default 10 s, twice
	// the time that a command has by default.
	CommandLimit time.Duration
	// JournalLimit is how long nothing may be heard from a journal that was asked. Default 5 s.
	JournalLimit time.Duration
	// UnflushedLimit is how long pages may be behind the log. Default 2 min. A node that is behind serves well; a take-over from
	// it is slow.
	UnflushedLimit time.Duration
	// Terse leaves out where and why, for a listener that clients reach.
	Terse bool
}

// probePatience bounds the wait for the node's parts: probes give up after a second by default. Who did not answer by then is
// asked again by the next probe, and counts as stuck since it was asked first.
const probePatience = 500 * time.Millisecond

// Health answers the probes of whoever runs the process, from the progress that is made and not from being alive: 200 or 503, with
// the checks as JSON (skerry.admin.v1.Health).
//
//	GET /livez   no part of the process is stuck; else restart it
//	GET /readyz  the node serves: it has started, is not leaving, hears from the journal and answers in time; else send it no requests
func Health(of Prober, cfg HealthConfig) http.Handler {
	for _, f := range []struct {
		field    *time.Duration
		standard time.Duration
	}{
		{&cfg.StuckAfter, 10 * time.Second},
		{&cfg.CommandLimit, 10 * time.Second},
		{&cfg.JournalLimit, 5 * time.Second},
		{&cfg.UnflushedLimit, 2 * time.Minute},
	} {
		if *f.field <= 0 {
			*f.field = f.standard
		}
	}
	return &health{of, cfg}
}

type health struct {
	of  Prober
	cfg HealthConfig
}

// ServeHTTP implements http.Handler.
func (h *health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	checks, known := map[string]func(entity.Health) []*adminv1.Check{"/livez": h.live, "/readyz": h.ready}[r.URL.Path]
	switch {
	case !known:
		gateway.WriteError(w, gateway.NotFound([]string{"/livez", "/readyz"}, "nothing is at this path"))
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		gateway.WriteError(w, gateway.MethodNotAllowed(r.Method))
	default:
		ctx, cancel := context.WithTimeout(r.Context(), probePatience)
		defer cancel()
		h.answer(w, checks(h.of.Health(ctx)))
	}
}

func (h *health) live(x entity.Health) []*adminv1.Check {
	return []*adminv1.Check{check("stuck", x.Stuck, h.cfg.StuckAfter)}
}

func (h *health) ready(x entity.Health) []*adminv1.Check {
	checks := []*adminv1.Check{
		check("stuck", x.Stuck, h.cfg.StuckAfter),
		check("command", x.Command, h.cfg.CommandLimit),
		check("handler", x.Handler, h.cfg.CommandLimit),
		check("journal", x.Journal, h.cfg.JournalLimit),
		check("unflushed", x.Unflushed, h.cfg.UnflushedLimit),
	}
	for _, why := range x.Unready {
		checks = append(checks, &adminv1.Check{Name: "ready", Reason: why})
	}
	return checks
}

func check(name string, x entity.Wait, limit time.Duration) *adminv1.Check {
	return &adminv1.Check{
		Name: name, Ok: x.Age <= limit, AgeMs: x.Age.Milliseconds(), LimitMs: limit.Milliseconds(), Of: x.Of, Reason: x.Reason,
	}
}

func (h *health) answer(w http.ResponseWriter, checks []*adminv1.Check) {
	out := &adminv1.Health{Ok: true}
	for _, c := range checks {
		if !c.GetOk() {
			out.Ok, out.Failing = false, append(out.Failing, c.GetName())
		}
	}
	if !h.cfg.Terse {
		out.Checks = checks
	}
	status := http.StatusOK
	if !out.GetOk() {
		status = http.StatusServiceUnavailable
	}
	body, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(out)
	if err != nil {
		gateway.WriteError(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
