package breaker

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerryhq/skerry/breaker/internal/machine"
)

// maxID bounds the bytes of a breaker's id.
const maxID = 256

// Config of one breaker.
type Config struct {
	// ID names it, such as payments or payments/Charge. Required.
	ID string
	// Settings are all optional.
	Settings Settings
	// Logger hears of each transition. Default: slog.Default().
	Logger *slog.Logger
	// OnTransition, if given, is called for each transition, one after the other, without a lock. Who is
	// slow in it delays the call that made the transition.
	OnTransition func(Transition)
}

// Breaker refuses calls to a service that fails. It may be used concurrently and needs no closing.
//
// It has timers of its own: in a testing/synctest bubble, make it there.
type Breaker struct {
	id    string
	base  time.Time
	count counter
	gate  atomic.Pointer[gate]
	// alarms are the *alarm of calls that ended in time. A pool for all breakers would carry
	// timers from one synctest bubble into another.
	alarms sync.Pool
	tells  teller

	mu       sync.Mutex
	machine  *machine.Machine
	settings *Settings // filled
	gates    gates
	wake     *time.Timer
	wakeAt   time.Duration
	lastErr  error // the last that counted as a failure
}

// New returns a closed breaker.
func New(cfg Config) (*Breaker, error) {
	if cfg.ID == "" || len(cfg.ID) > maxID {
		return nil, fmt.Errorf("breaker: Config.ID has %d bytes; it must have 1 to %d: name the service", len(cfg.ID), maxID)
	}
	settings, err := cfg.Settings.filled()
	if err != nil {
		return nil, fmt.Errorf("%w (of breaker %s)", err, cfg.ID)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	b := &Breaker{id: cfg.ID, base: time.Now(), settings: &settings, wakeAt: -1}
	b.tells = teller{id: cfg.ID, base: b.base, log: cfg.Logger, listen: cfg.OnTransition}
	b.machine = machine.New(settings.rules(), rand.Uint64()) //nolint:gosec // spreads probes, guards nothing
	b.show(0)
	return b, nil
}

// ID returns the breaker's name.
func (b *Breaker) ID() string { return b.id }

// Do makes a call through a breaker. fn runs on the caller's goroutine with a context that
// ends at the call-timeout; Do returns when fn returns. A fn that ignores its context is counted at the call-timeout all
// the same, so the breaker opens however many callers hang.
//
// Do returns what fn returned, but for two cases: a call that was refused, and a call that failed because
// of the call-timeout, get an [*Error]. What fn brings after the call-timeout is the caller's, although it counts as a failure: a charge that was
// made late was made.
//
// A panic in fn counts as a failure and goes on.
func Do[T any](ctx context.Context, b *Breaker, fn func(context.Context) (T, error)) (T, error) {
	c, err := b.enter(ctx)
	if err != nil {
		var none T
		return none, err
	}
	defer c.unwind()
	result, err := fn(c.context(ctx))
	return result, c.leave(ctx, err)
}

// Change gives the breaker other settings. State and counts stay; a call under way keeps
// the call-timeout it began with, a wait in open is measured anew from its beginning.
func (b *Breaker) Change(s Settings) error {
	filled, err := s.filled()
	if err != nil {
		return fmt.Errorf("%w (of breaker %s)", err, b.id)
	}
	b.step(func(now time.Duration) {
		b.settings = &filled
		b.machine.SetRules(filled.rules(), now)
	})
	return nil
}

// now is the time that the machine knows.
func (b *Breaker) now() time.Duration { return time.Since(b.base) }

// step gives the machine an input, then shows callers the new state and tells of transitions.
func (b *Breaker) step(input func(now time.Duration)) {
	b.mu.Lock()
	now := b.now()
	input(now)
	b.show(now)
	news := b.tells.take(b.machine.Transitions(), b.lastErr)
	b.mu.Unlock()
	if news {
		b.tells.tell()
	}
}

// awake is called when time alone makes a difference.
func (b *Breaker) awake() {
	b.step(func(now time.Duration) {
		b.wakeAt = -1
		b.machine.Tick(now)
	})
}
