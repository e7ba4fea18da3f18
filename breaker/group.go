package breaker

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
)

const (
	// Default is the name of the settings that all others fall back to.
	Default = "default"
	// Others is the breaker that stands in for all ids beyond GroupConfig.MaxBreakers.
	Others = "others"
)

// GroupConfig says what the breakers of a service have in common. All fields are optional.
type GroupConfig struct {
	// Settings by the id of a breaker. What an id does not say falls back to the part before its last slash, as
	// payments/Charge to payments, and in the end to "default".
	Settings map[string]Settings
	// Logger hears of each transition. Default: slog.Default().
	Logger *slog.Logger
	// OnTransition is as in Config; it may be called for several breakers at once.
	OnTransition func(Transition)
	// MaxBreakers bounds how many there are; more ids share one named "others". Default 1,000.
	MaxBreakers int
}

// Group owns the breakers of a service, one for each id, each from its first use. It may be used
// concurrently.
type Group struct {
	cfg GroupConfig

	breakers sync.Map // string to *Breaker, for those who look up

	mu    sync.Mutex
	given map[string]Settings
	count int
}

// NewGroup returns a group without breakers.
func NewGroup(cfg GroupConfig) (*Group, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	switch {
	case cfg.MaxBreakers < 0:
		return nil, fmt.Errorf("breaker: GroupConfig.MaxBreakers is %d; it cannot be negative", cfg.MaxBreakers)
	case cfg.MaxBreakers == 0:
		cfg.MaxBreakers = 1000
	}
	g := &Group{cfg: cfg, given: maps.Clone(cfg.Settings)}
	if g.given == nil {
		g.given = map[string]Settings{}
	}
	for id := range g.given {
		if _, err := g.settings(id).filled(); err != nil {
			return nil, fmt.Errorf("%w (of GroupConfig.Settings[%q])", err, id)
		}
	}
	return g, nil
}

// settings returns what an id gets, with fall-backs. The lock is held, or nobody else knows the group.
func (g *Group) settings(id string) Settings {
	s := g.given[id]
	for at := strings.LastIndexByte(id, '/'); at > 0; at = strings.LastIndexByte(id, '/') {
		id = id[:at]
		s = s.or(g.given[id])
	}
	return s.or(g.given[Default])
}

// Breaker returns the breaker of an id, always the same one. An id is cut to 256 bytes.
func (g *Group) Breaker(id string) *Breaker {
	if b, ok := g.breakers.Load(id); ok {
		return b.(*Breaker)
	}
	return g.make(id)
}

func (g *Group) make(id string) *Breaker {
	g.mu.Lock()
	defer g.mu.Unlock()
	if id = id[:min(len(id), maxID)]; id == "" {
		id = Default
	}
	if _, ok := g.breakers.Load(id); !ok && g.count >= g.cfg.MaxBreakers {
		id = Others
	}
	if b, ok := g.breakers.Load(id); ok {
		return b.(*Breaker)
	}
	b, err := New(Config{ID: id, Settings: g.settings(id), Logger: g.cfg.Logger, OnTransition: g.cfg.OnTransition})
	if err != nil {
		panic(err) // id and settings were checked
	}
	g.breakers.Store(id, b)
	if g.count++; id == Others {
		g.cfg.Logger.Warn("too many breakers: further ids share one; ids should name services and methods, not things",
			"max_breakers", g.cfg.MaxBreakers, "breaker", Others)
	}
	return b
}

// Change replaces the settings given under an id, or under "default", and applies them to all breakers
// that they reach. State and counts stay. Nothing changes if there is an error.
func (g *Group) Change(id string, s Settings) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	before, was := g.given[id]
	g.given[id] = s
	for known := range g.given {
		if _, err := g.settings(known).filled(); err != nil {
			if g.given[id] = before; !was {
				delete(g.given, id)
			}
			return fmt.Errorf("%w (of %q, after the change of %q)", err, known, id)
		}
	}
	var failed error
	g.breakers.Range(func(id, b any) bool {
		failed = b.(*Breaker).Change(g.settings(id.(string)))
		return failed == nil
	})
	return failed
}

// Settings returns what was given, by id.
func (g *Group) Settings() map[string]Settings {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.given)
}

// Snapshot returns all breakers, by id.
func (g *Group) Snapshot() []Snapshot {
	var all []Snapshot
	g.breakers.Range(func(_, b any) bool {
		all = append(all, b.(*Breaker).Snapshot())
		return true
	})
	slices.SortFunc(all, func(a, b Snapshot) int { return strings.Compare(a.ID, b.ID) })
	return all
}
