package readside

import (
	"fmt"
	"log/slog"
	"time"
)

// Config says what a [Runner] runs and within which limits. Source and Processors are
// required; a zero field means the default that its comment gives.
type Config struct {
	Source     Source
	Processors []Processor
	// Logger default: slog.Default().
	Logger *slog.Logger

	// MaxEvents, MaxBytes (of records) and MaxTime bound one transaction; a command is never
	// cut. Default 1,000 events, 4 MiB, 250 ms.
	MaxEvents int
	MaxBytes  int
	MaxTime   time.Duration
	// PageBytes is read from the journal at a time, BufferBytes bounds the records that wait
	// in memory, per processor. Default 1 MiB and 8 MiB.
	PageBytes   int
	BufferBytes int

	// HandlerTimeout bounds a transaction: past it the handler that runs is named in the log,
	// counted as slow, and its event has failed. Default 5 s.
	HandlerTimeout time.Duration
	// MinBackoff is the wait after a first failure; it doubles up to MaxBackoff. Default 20 ms and 5 s.
	MinBackoff time.Duration
	MaxBackoff time.Duration
	// MaxAttempts is how often a command is tried before its entity is parked. Default 10,
	// which takes about 10 s; -1 never parks: the shard waits.
	MaxAttempts int
	// MaxParked bounds the parked commands of one shard of one processor. Beyond, the shard
	// waits until some are retried. Default 10,000.
	MaxParked int
	// MaxWaiting bounds the calls of WaitFor on one processor. Default 10,000.
	MaxWaiting int
}

// filled returns the config with defaults, or an error that names the wrong field.
func (c Config) filled() (Config, error) {
	if c.Source == nil {
		return c, fmt.Errorf("readside: Config.Source is missing: give the host's Feed()")
	}
	if len(c.Processors) == 0 {
		return c, fmt.Errorf("readside: Config.Processors is empty: a runner needs at least one readside.SQL")
	}
	seen := map[string]bool{}
	for _, p := range c.Processors {
		if seen[p.name] {
			return c, fmt.Errorf("readside: Config.Processors has two named %q: they would move one offset", p.name)
		}
		seen[p.name] = true
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c.limited()
}

// limited fills in the limits and checks them.
func (c Config) limited() (Config, error) {
	for _, f := range []struct {
		name     string
		field    *int
		standard int
	}{
		{"MaxEvents", &c.MaxEvents, 1000},
		{"MaxBytes", &c.MaxBytes, 4 << 20},
		{"PageBytes", &c.PageBytes, 1 << 20},
		{"BufferBytes", &c.BufferBytes, 8 << 20},
		{"MaxParked", &c.MaxParked, 10_000},
		{"MaxWaiting", &c.MaxWaiting, 10_000},
	} {
		if err := fill("Config."+f.name, f.field, f.standard); err != nil {
			return c, err
		}
	}
	for _, f := range []struct {
		name     string
		field    *time.Duration
		standard time.Duration
	}{
		{"MaxTime", &c.MaxTime, 250 * time.Millisecond},
		{"HandlerTimeout", &c.HandlerTimeout, 5 * time.Second},
		{"MinBackoff", &c.MinBackoff, 20 * time.Millisecond},
		{"MaxBackoff", &c.MaxBackoff, 5 * time.Second},
	} {
		if err := fill("Config."+f.name, f.field, f.standard); err != nil {
			return c, err
		}
	}
	switch {
	case c.MaxTime >= c.HandlerTimeout:
		return c, fmt.Errorf("readside: Config.MaxTime is %v; it must be below HandlerTimeout (%v), or full transactions would time out", c.MaxTime, c.HandlerTimeout)
	case c.MaxAttempts < -1:
		return c, fmt.Errorf("readside: Config.MaxAttempts is %d; it must be 1 or more, or -1 to never park", c.MaxAttempts)
	case c.MaxAttempts == 0:
		c.MaxAttempts = 10
	}
	return c, nil
}

func fill[N int | time.Duration](name string, field *N, standard N) error {
	if *field < 0 {
		return fmt.Errorf("readside: %s is %v; it cannot be negative", name, *field)
	}
	if *field == 0 {
		*field = standard
	}
	return nil
}
