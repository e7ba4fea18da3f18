package service

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Resolver tells where a service is. It may be called concurrently, and is asked again from time to time.
type Resolver interface {
	// Resolve returns the endpoints, each HOST:PORT. None is an error that names the service.
	Resolve(ctx context.Context, service string) ([]string, error)
}

// ResolverFunc is a function as a Resolver, such as one that asks a registry.
type ResolverFunc func(ctx context.Context, service string) ([]string, error)

// Resolve implements Resolver.
func (f ResolverFunc) Resolve(ctx context.Context, service string) ([]string, error) {
	return f(ctx, service)
}

// Static is a Resolver that knows the endpoints, by service. It must not be changed while it is used.
type Static map[string][]string

// Resolve implements Resolver.
func (s Static) Resolve(_ context.Context, service string) ([]string, error) {
	if len(s[service]) == 0 {
		return nil, fmt.Errorf("service %q has no endpoints: name them in service.Static", service)
	}
	return s[service], nil
}

// SRV is a Resolver that asks DNS for the SRV records of a service. Of these it uses those of the best
// priority, all alike: weights are not looked at.
type SRV struct {
	// Domain follows the name: payments is looked up as _payments._tcp.DOMAIN. Required.
	Domain string
	// Lookup asks; net.DefaultResolver.LookupSRV if it is nil.
	Lookup func(ctx context.Context, service, proto, name string) (cname string, records []*net.SRV, err error)
}

// Resolve implements Resolver.
func (s SRV) Resolve(ctx context.Context, service string) ([]string, error) {
	lookup := s.Lookup
	if lookup == nil {
		lookup = net.DefaultResolver.LookupSRV
	}
	_, records, err := lookup(ctx, service, "tcp", s.Domain)
	if err != nil {
		return nil, fmt.Errorf("looking up the endpoints of service %q: %w", service, err)
	}
	var found []string
	for _, r := range records { // sorted by priority
		if r.Priority == records[0].Priority {
			found = append(found, net.JoinHostPort(strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port))))
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("service %q has no endpoints: DNS has no SRV records _%s._tcp.%s", service, service, s.Domain)
	}
	return found, nil
}
