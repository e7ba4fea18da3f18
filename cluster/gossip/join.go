package gossip

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	// maxSeeds bounds the addresses that a node is told to join.
	maxSeeds = 64
	// triesPerRound bounds the addresses that one round of the re-join loop tries.
	triesPerRound = 2
	// lonelyInterval is how soon a process without peers tries again at first.
	lonelyInterval = 250 * time.Millisecond
	// lookupLimit bounds one look-up of a seed's name.
	lookupLimit = 2 * time.Second
)

// seeds are addresses to try while they are not those of members.
type seeds struct {
	mu   sync.Mutex
	list []string
}

func (s *seeds) add(more []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	joined := slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(s.list), more...))))
	if len(joined) > maxSeeds {
		return fmt.Errorf("gossip: join: %d seeds; at most %d are allowed", len(joined), maxSeeds)
	}
	s.list = joined
	return nil
}

func (s *seeds) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

// Join tries the seeds (host:port) now and returns how many answered; the error says why none did.
// They are kept and tried again, whenever they are not among the members, until Leave or Close.
func (g *Gossip) Join(ctx context.Context, addresses []string) (int, error) {
	for _, seed := range addresses {
		if _, _, err := net.SplitHostPort(seed); err != nil {
			return 0, fmt.Errorf("gossip: join: the seed %q must be a host and a port: %w", seed, err)
		}
	}
	if err := g.seeds.add(addresses); err != nil {
		return 0, err
	}
	reached := 0
	others, failures := g.resolve(ctx, addresses)
	for _, address := range others {
		if err := ctx.Err(); err != nil {
			failures = append(failures, err)
			break
		}
		if err := g.try(address); err != nil {
			failures = append(failures, err)
			continue
		}
		reached++
	}
	if reached > 0 || len(failures) == 0 {
		return reached, nil
	}
	return 0, fmt.Errorf("gossip: no seed answered: %w", joined(failures))
}

// try exchanges all that is known with the process at an address.
func (g *Gossip) try(address string) error {
	if _, err := g.list.Join([]string{address}); err != nil {
		return joinError(address, err)
	}
	return nil
}

// resolve turns seeds into addresses of other processes, each once. A name may stand for many.
func (g *Gossip) resolve(ctx context.Context, names []string) (found []string, failures []error) {
	for _, name := range names {
		host, port, _ := net.SplitHostPort(name)
		if net.ParseIP(host) != nil {
			found = append(found, name)
			continue
		}
		limited, cancel := context.WithTimeout(ctx, lookupLimit)
		hosts, err := net.DefaultResolver.LookupHost(limited, host)
		cancel()
		if err != nil {
			failures = append(failures, fmt.Errorf("look up %s: %w", name, err))
		}
		for _, h := range hosts {
			found = append(found, net.JoinHostPort(h, port))
		}
	}
	own := g.Address()
	found = slices.DeleteFunc(found, func(address string) bool { return address == own })
	return slices.Compact(slices.Sorted(slices.Values(found))), failures
}

// rejoin tries seeds and lost members for as long as the gossip runs: memberlist
// forgets the dead, so two sides of a long partition would never meet again. Also
// a node that starts before its seeds finds them so.
func (g *Gossip) rejoin(ctx context.Context) {
	timer := time.NewTimer(g.pause(0))
	defer timer.Stop()
	last := ""
	for round := 1; ; round++ {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if err := g.rejoinOnce(ctx); err != nil && ctx.Err() == nil {
			last = g.tell(last, err)
		}
		timer.Reset(g.pause(round))
	}
}

// tell logs a failure at its first time only: a seed that is down for a day is one line.
func (g *Gossip) tell(last string, err error) string {
	switch text := err.Error(); {
	case text == last:
	case errors.Is(err, ErrRefused):
		g.config.Logger.Warn("gossip: a peer is not let in, or does not let this node in", "error", err)
		return text
	default:
		g.config.Logger.Info("gossip: a seed or lost member is not reached; trying on", "error", err)
		return text
	}
	return last
}

func (g *Gossip) rejoinOnce(ctx context.Context) error {
	candidates, failures := g.resolve(ctx, g.seeds.all())
	here, lost := g.addresses()
	candidates = slices.DeleteFunc(append(candidates, lost...), func(address string) bool { return here[address] })
	rand.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
	for _, address := range candidates[:min(triesPerRound, len(candidates))] {
		if err := g.try(address); err != nil {
			failures = append(failures, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return joined(failures)
}

// joined makes one line of several errors; nil of none.
func joined(failures []error) error {
	var all error
	for _, err := range failures {
		if all == nil {
			all = err
		} else {
			all = fmt.Errorf("%w; %w", all, err)
		}
	}
	return all
}

// pause is the time until the next round: jittered, so that nodes that lost each
// other together do not all call at once, and short at first while there are no peers.
func (g *Gossip) pause(round int) time.Duration {
	interval := g.config.RejoinInterval
	if here, _ := g.addresses(); len(here) < 2 {
		interval = min(interval, lonelyInterval<<min(round, 10))
	}
	return interval/2 + rand.N(interval)
}
