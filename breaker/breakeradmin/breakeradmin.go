package breakeradmin

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/skerryhq/skerry/breaker"
)

// Source is what is shown: a *breaker.Group.
type Source interface {
	Snapshot() []breaker.Snapshot
}

// Section serves the breakers.
type Section struct{ of Source }

// New returns a Section.
func New(of Source) *Section { return &Section{of} }

// Name is shown in the list of sections.
func (*Section) Name() string { return "breakers" }

// Paths tells what it serves.
func (*Section) Paths() []string { return []string{"breakers", "breakers/{id}"} }

// ServeHTTP implements http.Handler.
func (s *Section) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		problem(w, http.StatusMethodNotAllowed, "skerry/method-not-allowed", "breakers are shown, not changed, here: "+r.Method, "Use GET.")
		return
	}
	_, id, one := strings.Cut(r.URL.EscapedPath(), "/breakers/")
	if !one {
		s.all(w)
		return
	}
	id, err := url.PathUnescape(id)
	if err != nil {
		problem(w, http.StatusBadRequest, "skerry/malformed", "the id in the path: "+err.Error(), "Write a slash in an id as %2F.")
		return
	}
	for _, b := range s.of.Snapshot() {
		if b.ID == id {
			answer(w, http.StatusOK, whole(b))
			return
		}
	}
	problem(w, http.StatusNotFound, "skerry/not-found", "no call has gone to a breaker "+strconv.Quote(id)+" here",
		"A breaker exists from its first use; GET /admin/v1/breakers lists those that do.")
}

func (s *Section) all(w http.ResponseWriter) {
	list := []*view{}
	for _, b := range s.of.Snapshot() {
		list = append(list, short(b))
	}
	answer(w, http.StatusOK, map[string]any{"breakers": list})
}

// view is a breaker as JSON.
type view struct {
	ID           string            `json:"id"`
	Enabled      bool              `json:"enabled"`
	State        string            `json:"state"`
	Since        time.Time         `json:"since"`
	RetryAfter   string            `json:"retryAfter,omitempty"`
	Failures     int               `json:"failures"`
	WindowFailed int               `json:"windowFailed,omitempty"`
	WindowCalls  int               `json:"windowCalls,omitempty"`
	Busy         int               `json:"busy,omitempty"`
	Counts       map[string]string `json:"counts"`
	Settings     *settings         `json:"settings,omitempty"`
	Transitions  []transition      `json:"transitions,omitempty"`
}

type settings struct {
	MaxFailures     int     `json:"maxFailures"`
	CallTimeout     string  `json:"callTimeout"`
	ResetTimeout    string  `json:"resetTimeout"`
	MaxResetTimeout string  `json:"maxResetTimeout"`
	ResetJitter     float64 `json:"resetJitter"`
	FailureRate     float64 `json:"failureRate"`
	Window          string  `json:"window"`
	MinCalls        int     `json:"minCalls"`
	SlowAfter       string  `json:"slowAfter"`
	MaxConcurrent   int     `json:"maxConcurrent"`
	MinDeadline     string  `json:"minDeadline"`
	IgnoredErrors   int     `json:"ignoredErrors"`
}

type transition struct {
	From     string    `json:"from"`
	To       string    `json:"to"`
	At       time.Time `json:"at"`
	Reason   string    `json:"reason"`
	Failures int       `json:"failures"`
	Wait     string    `json:"wait,omitempty"`
	Cause    string    `json:"cause,omitempty"`
}

func short(b breaker.Snapshot) *view {
	v := &view{
		ID: b.ID, Enabled: b.Enabled, State: b.State.String(), Since: b.Since.UTC(), Failures: b.Failures,
		WindowFailed: b.WindowFailed, WindowCalls: b.WindowCalls, Busy: b.Busy, Counts: counts(b.Counts),
	}
	if b.State != breaker.Closed {
		v.RetryAfter = seconds(b.RetryAfter)
	}
	return v
}

func whole(b breaker.Snapshot) *view {
	v, s := short(b), b.Settings
	v.Settings = &settings{
		MaxFailures: s.MaxFailures, CallTimeout: seconds(s.CallTimeout), ResetTimeout: seconds(s.ResetTimeout),
		MaxResetTimeout: seconds(s.MaxResetTimeout), ResetJitter: s.ResetJitter, FailureRate: s.FailureRate, Window: seconds(s.Window),
		MinCalls: s.MinCalls, SlowAfter: seconds(s.SlowAfter), MaxConcurrent: s.MaxConcurrent, MinDeadline: seconds(s.MinDeadline), IgnoredErrors: len(s.Ignore),
	}
	for _, t := range b.Transitions {
		shown := transition{From: t.From.String(), To: t.To.String(), At: t.At.UTC(), Reason: t.Reason, Failures: t.Failures}
		if t.To == breaker.Open {
			shown.Wait = seconds(t.Wait)
		}
		if t.Cause != nil {
			shown.Cause = t.Cause.Error()
		}
		v.Transitions = append(v.Transitions, shown)
	}
	return v
}

func counts(c breaker.Counts) map[string]string {
	all := map[string]string{}
	for name, n := range map[string]uint64{
		"succeeded": c.Succeeded, "rejected": c.Rejected, "failed": c.Failed, "timedOut": c.TimedOut, "slow": c.Slow, "abandoned": c.Abandoned,
		"late": c.Late, "refused": c.Refused, "full": c.Full, "opened": c.Opened, "halfOpened": c.HalfOpened, "closed": c.Closed,
	} {
		all[name] = strconv.FormatUint(n, 10)
	}
	return all
}

// seconds writes a duration as protobuf does, to the millisecond.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) + "s"
}

func problem(w http.ResponseWriter, status int, code, reason, remedy string) {
	answer(w, status, map[string]string{"code": code, "reason": reason, "remedy": remedy})
}

func answer(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(text, '\n')) //nolint:errcheck // who has hung up needs no answer
}
