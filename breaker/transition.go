package breaker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/skerryhq/skerry/breaker/internal/machine"
)

// State of a breaker.
type State uint8

// The states. Open becomes HalfOpen with the first call after the reset-timeout, not by itself.
const (
	Closed   = State(machine.Closed)
	HalfOpen = State(machine.HalfOpen)
	Open     = State(machine.Open)
)

// String implements fmt.Stringer.
func (s State) String() string { return machine.State(s).String() }

// Transition is a breaker's change of state.
type Transition struct {
	ID       string
	From, To State
	At       time.Time
	// Reason is for people.
	Reason string
	// Failures in a row when it happened.
	Failures int
	// Wait is the reset-timeout that began; 0 unless To is Open.
	Wait time.Duration
	// Cause is the last failure that was counted, if To is Open; it may be nil.
	Cause error
}

// String implements fmt.Stringer.
func (t Transition) String() string {
	text := fmt.Sprintf("breaker %s: %v -> %v: %s", t.ID, t.From, t.To, t.Reason)
	if t.To != Open {
		return text
	}
	text += fmt.Sprintf(" (%d failures in a row); calls are refused for %v", t.Failures, t.Wait)
	if t.Cause != nil {
		text += "; last failure: " + t.Cause.Error()
	}
	return text
}

// LogValue implements slog.LogValuer.
func (t Transition) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("breaker", t.ID), slog.String("from", t.From.String()), slog.String("to", t.To.String()),
		slog.String("reason", t.Reason), slog.Int("failures", t.Failures),
	}
	if t.To == Open {
		attrs = append(attrs, slog.Duration("wait", t.Wait))
		if t.Cause != nil {
			attrs = append(attrs, slog.String("err", t.Cause.Error()))
		}
	}
	return slog.GroupValue(attrs...)
}

// Limits of what is kept of transitions.
const (
	// maxRecent are shown in a Snapshot.
	maxRecent = 16
	// maxUntold wait for a logger that is slow; beyond, the oldest are not told.
	maxUntold = 256
)

// teller tells of transitions in their order, to one listener at a time.
type teller struct {
	id     string
	base   time.Time
	log    *slog.Logger
	listen func(Transition)

	mu      sync.Mutex
	recent  []Transition
	untold  []Transition
	telling bool
}

// take notes what the machine did, and tells whether that was anything. The breaker's lock is held, which
// keeps the order.
func (t *teller) take(made []machine.Transition, cause error) bool {
	if len(made) == 0 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range made {
		told := Transition{
			ID: t.id, From: State(m.From), To: State(m.To), At: t.base.Add(m.At), Reason: m.Reason.String(), Failures: m.Failures, Wait: m.Wait,
		}
		if told.To == Open && m.Reason != machine.ProbeAbandoned && m.Reason != machine.ProbeHung {
			told.Cause = cause
		}
		t.recent = last(append(t.recent, told), maxRecent)
		t.untold = last(append(t.untold, told), maxUntold)
	}
	return true
}

func last(of []Transition, most int) []Transition {
	if len(of) > most {
		return append([]Transition(nil), of[len(of)-most:]...)
	}
	return of
}

// tell tells what is untold, unless another goroutine is about to.
func (t *teller) tell() {
	for next := t.next(true); next != nil; next = t.next(false) {
		t.speak(*next)
	}
}

// next returns what to tell, and keeps others from telling until there is no more.
func (t *teller) next(first bool) *Transition {
	t.mu.Lock()
	defer t.mu.Unlock()
	if first && t.telling {
		return nil
	}
	if t.telling = len(t.untold) > 0; !t.telling {
		return nil
	}
	next := t.untold[0]
	t.untold = t.untold[1:]
	return &next
}

func (t *teller) speak(next Transition) {
	spoken := false
	defer func() {
		if !spoken { // a listener panicked: others go on telling
			t.mu.Lock()
			t.telling = false
			t.mu.Unlock()
		}
	}()
	level, msg := slog.LevelInfo, "a breaker closed: calls go through again"
	switch next.To {
	case Open:
		level, msg = slog.LevelWarn, "a breaker opened: calls are refused"
	case HalfOpen:
		msg = "a breaker is half-open: one call goes through as a probe"
	}
	t.log.LogAttrs(context.Background(), level, msg, slog.Any("", next))
	if t.listen != nil {
		t.listen(next)
	}
	spoken = true
}

func (t *teller) last() []Transition {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Transition(nil), t.recent...)
}
