package breaker

import (
	"errors"
	"fmt"
	"time"

	"github.com/skerryhq/skerry/breaker/internal/machine"
)

// Switch turns a breaker on or off. The zero value says neither: see [Settings].
type Switch uint8

// A breaker is on by default. One that is off lets every call through as if it were not there: nothing is
// counted, timed or refused.
const (
	On Switch = iota + 1
	Off
)

// Match tells whether an error is one of a kind.
type Match func(error) bool

// MatchIs matches what errors.Is finds.
func MatchIs(target error) Match {
	return func(err error) bool { return errors.Is(err, target) }
}

// MatchAs matches errors that are or wrap a T, such as MatchAs[*entity.Rejection]().
func MatchAs[T error]() Match {
	return func(err error) bool {
		var found T
		return errors.As(err, &found)
	}
}

// Settings of a breaker. In a [Group], a zero field falls back to the next wider settings, in
// the end to "default"; where nobody says anything, to the default given here. A negative number or time
// switches off what it is about.
type Settings struct {
	// Enabled is On by default.
	Enabled Switch
	// MaxFailures in a row open the breaker. Default 10.
	MaxFailures int
	// CallTimeout ends the context of a call and counts it as a failure at that moment, whether it
	// returns or not. Default 10 s.
	CallTimeout time.Duration
	// ResetTimeout is how long calls are refused before one is let through as a probe. It cannot be
	// switched off. Default 15 s.
	ResetTimeout time.Duration
	// Ignore lists errors that do not count: they are answers, and the service that gives
	// them is well. Default none.
	Ignore []Match

	// MaxResetTimeout lets ResetTimeout double with each probe in a row that fails, up to this. Default: it stays the same.
	MaxResetTimeout time.Duration
	// ResetJitter, 0 to 1, is the part by which each reset-timeout is longer at random, so that
	// many breakers do not probe at once. Default 0.
	ResetJitter float64
	// FailureRate, up to 1, opens the breaker too when that part of the calls of the last Window
	// failed, if they were MinCalls or more. Default off; Window 10 s, MinCalls 20.
	FailureRate float64
	Window      time.Duration
	MinCalls    int
	// SlowAfter counts a success that took longer as a failure; its caller gets it nevertheless. Default off.
	SlowAfter time.Duration
	// MaxConcurrent calls run at once (a bulkhead); more are refused with ErrFull. Default off.
	MaxConcurrent int
	// MinDeadline: a caller's own deadline that passes counts against the service only if it gave
	// the call at least this. Default 100 ms.
	MinDeadline time.Duration
}

// Limits of settings.
const (
	// maxWait bounds every time, a year: beyond, it is a mistake of units.
	maxWait = 365 * 24 * time.Hour
	// minWindow is the shortest Window.
	minWindow = 10 * time.Millisecond
)

var standard = Settings{
	Enabled: On, MaxFailures: 10, CallTimeout: 10 * time.Second, ResetTimeout: 15 * time.Second,
	Window: 10 * time.Second, MinCalls: 20, MinDeadline: 100 * time.Millisecond,
}

// or fills the zero fields from wider settings.
func (s Settings) or(wider Settings) Settings {
	fill(&s.Enabled, wider.Enabled)
	fill(&s.MaxFailures, wider.MaxFailures)
	fill(&s.CallTimeout, wider.CallTimeout)
	fill(&s.ResetTimeout, wider.ResetTimeout)
	fill(&s.MaxResetTimeout, wider.MaxResetTimeout)
	fill(&s.ResetJitter, wider.ResetJitter)
	fill(&s.FailureRate, wider.FailureRate)
	fill(&s.Window, wider.Window)
	fill(&s.MinCalls, wider.MinCalls)
	fill(&s.SlowAfter, wider.SlowAfter)
	fill(&s.MaxConcurrent, wider.MaxConcurrent)
	fill(&s.MinDeadline, wider.MinDeadline)
	if s.Ignore == nil {
		s.Ignore = wider.Ignore
	}
	return s
}

func fill[T comparable](field *T, wider T) {
	var zero T
	if *field == zero {
		*field = wider
	}
}

// filled returns the settings complete, with 0 for what is off, or an error that names the wrong field.
func (s Settings) filled() (Settings, error) {
	s = s.or(standard)
	off(&s.MaxFailures)
	off(&s.ResetJitter)
	off(&s.FailureRate)
	off(&s.MaxConcurrent)
	for _, d := range []*time.Duration{&s.CallTimeout, &s.SlowAfter, &s.MinDeadline} {
		off(d)
	}
	if s.MaxResetTimeout <= 0 {
		s.MaxResetTimeout = max(s.ResetTimeout, 0)
	}
	if s.FailureRate == 0 {
		s.Window = 0
	}
	return s, s.check()
}

func off[N int | float64 | time.Duration](field *N) { *field = max(*field, 0) }

func (s Settings) check() error {
	switch {
	case s.Enabled > Off:
		return fmt.Errorf("breaker: Settings.Enabled is %d; it must be On or Off", s.Enabled)
	case s.ResetTimeout < time.Millisecond:
		return fmt.Errorf("breaker: Settings.ResetTimeout is %v; it must be 1 ms or more, or the breaker would not protect anything", s.ResetTimeout)
	case s.MaxResetTimeout < s.ResetTimeout:
		return fmt.Errorf("breaker: Settings.MaxResetTimeout is %v; it must not be below ResetTimeout (%v)", s.MaxResetTimeout, s.ResetTimeout)
	case s.ResetJitter > 1 || s.ResetJitter != s.ResetJitter:
		return fmt.Errorf("breaker: Settings.ResetJitter is %v; it must be between 0 and 1", s.ResetJitter)
	case s.FailureRate > 1 || s.FailureRate != s.FailureRate:
		return fmt.Errorf("breaker: Settings.FailureRate is %v; it must be above 0 and up to 1, a part of the calls", s.FailureRate)
	case s.FailureRate > 0 && s.Window < minWindow:
		return fmt.Errorf("breaker: Settings.Window is %v; with a FailureRate it must be %v or more", s.Window, minWindow)
	case s.FailureRate > 0 && s.MinCalls < 1:
		return fmt.Errorf("breaker: Settings.MinCalls is %d; with a FailureRate it must be 1 or more", s.MinCalls)
	}
	for name, d := range map[string]time.Duration{
		"CallTimeout": s.CallTimeout, "MaxResetTimeout": s.MaxResetTimeout, "Window": s.Window, "SlowAfter": s.SlowAfter, "MinDeadline": s.MinDeadline,
	} {
		if d > maxWait {
			return fmt.Errorf("breaker: Settings.%s is %v; it must not be over %v", name, d, maxWait)
		}
	}
	return nil
}

// rules are what the machine needs of filled settings.
func (s Settings) rules() machine.Rules {
	probe := s.CallTimeout
	if probe == 0 {
		probe = s.ResetTimeout
	}
	return machine.Rules{
		MaxFailures: s.MaxFailures, ProbeTimeout: probe,
		ResetTimeout: s.ResetTimeout, MaxResetTimeout: s.MaxResetTimeout, Jitter: s.ResetJitter,
		FailureRate: s.FailureRate, Window: s.Window, MinCalls: s.MinCalls, MaxConcurrent: s.MaxConcurrent,
	}
}

// ignores tells whether an error is an answer.
func (s *Settings) ignores(err error) bool {
	for _, match := range s.Ignore {
		if match(err) {
			return true
		}
	}
	return false
}
