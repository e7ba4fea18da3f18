package service

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// restAfter is how long an endpoint that failed is left alone while there are others.
const restAfter = time.Second

// endpoint is one address of a service.
type endpoint struct {
	address string
	// The lock of the directory entry guards these.
	busy  int // requests under way
	until time.Time
}

// entry is what is known of one service.
type entry struct {
	name string
	log  *slog.Logger

	asking chan struct{} // holds one token while the resolver is asked

	mu        sync.Mutex
	endpoints []*endpoint
	fresh     time.Time // until then
}

// find asks the resolver if what is known is too old. What it cannot tell now stays as it was: a
// resolver that is away must not take the service away with it.
func (e *entry) find(ctx context.Context, resolver Resolver, keep time.Duration) error {
	if e.isFresh() {
		return nil
	}
	known := e.known()
	if asks, err := e.turn(ctx, known); !asks {
		return err
	}
	defer func() { <-e.asking }()
	if e.isFresh() {
		return nil
	}
	addresses, err := resolver.Resolve(ctx, e.name)
	if err == nil && len(addresses) == 0 {
		err = fmt.Errorf("the resolver knows no endpoint of service %q", e.name)
	}
	if err != nil && !known {
		return err
	}
	if err != nil {
		e.log.WarnContext(ctx, "a service's endpoints cannot be resolved; those known are used further", "service", e.name, "err", err)
		addresses = nil
	}
	e.update(addresses, time.Now().Add(keep))
	return nil
}

// turn waits until nobody else asks. Where another does and what is known will do, it does not wait.
func (e *entry) turn(ctx context.Context, known bool) (asks bool, err error) {
	select {
	case e.asking <- struct{}{}:
		return true, nil
	default:
	}
	if known {
		return false, nil
	}
	select {
	case e.asking <- struct{}{}:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (e *entry) isFresh() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return time.Now().Before(e.fresh)
}

func (e *entry) known() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.endpoints) > 0
}

// update takes the addresses, and keeps what is known of those that were there before.
func (e *entry) update(addresses []string, fresh time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fresh = fresh
	if addresses == nil {
		return
	}
	before := e.endpoints
	e.endpoints = nil
	for _, a := range addresses {
		at := slices.IndexFunc(before, func(p *endpoint) bool { return p.address == a })
		if at < 0 {
			e.endpoints = append(e.endpoints, &endpoint{address: a})
		} else {
			e.endpoints = append(e.endpoints, before[at])
		}
	}
}

// take picks an endpoint that was not tried yet, or nil. The request is under way there until release.
func (e *entry) take(tried []*endpoint) *endpoint {
	e.mu.Lock()
	defer e.mu.Unlock()
	var well, resting []*endpoint
	now := time.Now()
	for _, p := range e.endpoints {
		switch {
		case slices.Contains(tried, p):
		case now.Before(p.until):
			resting = append(resting, p)
		default:
			well = append(well, p)
		}
	}
	if len(well) == 0 {
		well = resting
	}
	if len(well) == 0 {
		return nil
	}
	p := idler(well)
	p.busy++
	return p
}

// idler chooses two at random and of these the one with less to do.
func idler(of []*endpoint) *endpoint {
	i := rand.IntN(len(of)) //nolint:gosec // spreads load, guards nothing
	if len(of) == 1 {
		return of[i]
	}
	j := rand.IntN(len(of) - 1) //nolint:gosec // spreads load, guards nothing
	if j >= i {
		j++
	}
	if of[j].busy < of[i].busy {
		return of[j]
	}
	return of[i]
}

func (e *entry) release(p *endpoint, failed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p.busy--
	if failed {
		p.until = time.Now().Add(restAfter)
	}
}
