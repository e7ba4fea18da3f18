package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Members is a Resolver that asks a service's own nodes which of them answer callers: each node of a cluster serves the list at
// /v1/endpoints. Nodes that come later are found, and those that were named here may go. A service that serves no list is its seeds.
// It may be used concurrently, and must not be changed or copied while it is.
type Members struct {
	// Seeds are some endpoints of each service, HOST:PORT. Required.
	Seeds map[string][]string
	// Scheme is http or https. Default: http.
	Scheme string
	// Base sends the questions. Default: http.DefaultTransport.
	Base http.RoundTripper

	mu    sync.Mutex
	known map[string][]string // what was answered last, by service
}

const (
	// endpointsPath is where a node serves the list, as {"addresses":["HOST:PORT"]}.
	endpointsPath = "/v1/endpoints"
	// askPatience bounds one node's answer: there are others.
	askPatience = 2 * time.Second
	// maxListBytes and maxEndpoints bound a list.
	maxListBytes = 256 << 10
	maxEndpoints = 1000
)

// errNoList is a node's answer that serves no list.
var errNoList = errors.New("it serves no " + endpointsPath)

// Resolve implements Resolver. It asks those known first, one after the other, until one answers.
func (m *Members) Resolve(ctx context.Context, service string) ([]string, error) {
	seeds := m.Seeds[service]
	if len(seeds) == 0 {
		return nil, fmt.Errorf("service %q has no endpoints: name some in service.Members", service)
	}
	var errs []error
	for _, node := range m.askable(service) {
		found, err := m.ask(ctx, node)
		if err == nil {
			m.remember(service, found)
			return found, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", node, err))
		if ctx.Err() != nil {
			break
		}
	}
	all := errors.Join(errs...)
	if errors.Is(all, errNoList) {
		return seeds, nil
	}
	return nil, fmt.Errorf("no node of service %q tells its endpoints: %w", service, all)
}

// askable are the nodes to ask, those known to live first.
func (m *Members) askable(service string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.known[service]
	return append(slices.Clone(known), slices.DeleteFunc(slices.Clone(m.Seeds[service]), func(seed string) bool { return slices.Contains(known, seed) })...)
}

func (m *Members) remember(service string, found []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = map[string][]string{}
	}
	m.known[service] = found
}

// ask reads one node's list.
func (m *Members) ask(ctx context.Context, node string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	scheme, base := m.Scheme, m.Base
	if scheme == "" {
		scheme = "http"
	}
	if base == nil {
		base = http.DefaultTransport
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+node+endpointsPath, nil)
	if err != nil {
		return nil, err
	}
	resp, err := base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return readList(resp.Body)
	case http.StatusNotFound:
		return nil, errNoList
	}
	return nil, fmt.Errorf("it answered %s", resp.Status)
}

// readList trusts nothing: what it takes is an endpoint each.
func readList(body io.Reader) ([]string, error) {
	var list struct {
		Addresses []string `json:"addresses"`
	}
	if err := json.NewDecoder(io.LimitReader(body, maxListBytes)).Decode(&list); err != nil {
		return nil, fmt.Errorf("its list cannot be read: %w", err)
	}
	if n := len(list.Addresses); n == 0 || n > maxEndpoints {
		return nil, fmt.Errorf("its list has %d addresses; 1 to %d are taken", n, maxEndpoints)
	}
	for _, a := range list.Addresses {
		if host, _, err := net.SplitHostPort(a); err != nil || host == "" {
			return nil, fmt.Errorf("its list has %q, which is no HOST:PORT", a)
		}
	}
	return list.Addresses, nil
}
