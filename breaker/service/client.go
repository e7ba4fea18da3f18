package service

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/skerryhq/skerry/breaker"
	"github.com/skerryhq/skerry/breaker/httpbreaker"
)

// maxServices bounds the services that one client calls.
const maxServices = 1000

// Config of a [Client]. Resolver and Breakers are required; a zero field means the default that its
// comment gives.
type Config struct {
	Resolver Resolver
	Breakers *breaker.Group
	// Base sends the requests. Default: http.DefaultTransport.
	Base http.RoundTripper
	// Method names the method that a request calls. Default: MethodOf.
	Method func(*http.Request) string
	// ResolveEvery is how long what the resolver said is used. Default 5 s.
	ResolveEvery time.Duration
	// MaxAttempts is to how many endpoints one request is sent at most. Default 3.
	MaxAttempts int
	// Budget bounds the requests that are sent again although they may have been executed. Default: one of the client's own.
	Budget *breaker.Budget
	// Logger hears of resolvers that fail. Default: slog.Default().
	Logger *slog.Logger
}

// Client sends requests to services by name. It is an http.RoundTripper and may be used concurrently.
type Client struct {
	cfg      Config
	breakers *httpbreaker.Transport

	mu       sync.Mutex
	services map[string]*entry
}

// New returns a Client.
func New(cfg Config) (*Client, error) {
	switch {
	case cfg.Resolver == nil:
		return nil, errors.New("service: Config.Resolver is missing: give service.Static, service.SRV, service.Members or one of your own")
	case cfg.Breakers == nil:
		return nil, errors.New("service: Config.Breakers is missing: give a breaker.Group")
	case cfg.ResolveEvery < 0:
		return nil, fmt.Errorf("service: Config.ResolveEvery is %v; it cannot be negative", cfg.ResolveEvery)
	case cfg.MaxAttempts < 0:
		return nil, fmt.Errorf("service: Config.MaxAttempts is %d; it cannot be negative", cfg.MaxAttempts)
	case cfg.ResolveEvery == 0:
		cfg.ResolveEvery = 5 * time.Second
	}
	if cfg.MaxAttempts == 0 {
		cfg.MaxAttempts = 3
	}
	if cfg.Base == nil {
		cfg.Base = http.DefaultTransport
	}
	if cfg.Method == nil {
		cfg.Method = MethodOf
	}
	if cfg.Budget == nil {
		cfg.Budget = breaker.NewBudget()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	c := &Client{cfg: cfg, services: map[string]*entry{}}
	var err error
	c.breakers, err = httpbreaker.New(httpbreaker.Config{
		Breakers: cfg.Breakers, Base: balancer{c},
		ID: func(r *http.Request) string { return r.URL.Host + "/" + cfg.Method(r) },
	})
	return c, err
}

// RoundTrip implements http.RoundTripper.
func (c *Client) RoundTrip(r *http.Request) (*http.Response, error) { return c.breakers.RoundTrip(r) }

func (c *Client) entry(name string) (*entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.services[name]
	switch {
	case e != nil:
	case len(c.services) >= maxServices:
		return nil, fmt.Errorf("service %q would be one of more than %d: a service is named by the URL's host", name, maxServices)
	default:
		e = &entry{name: name, log: c.cfg.Logger, asking: make(chan struct{}, 1)}
		c.services[name] = e
	}
	return e, nil
}

// balancer sends a request, within one call of a breaker, to one endpoint after the other.
type balancer struct{ *Client }

// RoundTrip implements http.RoundTripper.
func (c balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	e, err := c.entry(r.URL.Host)
	if err == nil {
		err = e.find(r.Context(), c.cfg.Resolver, c.cfg.ResolveEvery)
	}
	if err != nil {
		closeBody(r)
		return nil, err
	}
	r = r.Clone(r.Context())
	passOn(r)
	var tried []*endpoint
	for {
		p := e.take(tried)
		if p == nil {
			closeBody(r)
			return nil, fmt.Errorf("service %q has no endpoints any more", e.name)
		}
		tried = append(tried, p)
		resp, err := c.send(r, e, p)
		if len(tried) >= c.cfg.MaxAttempts || !e.another(tried) || !c.again(r, resp, err) {
			return resp, err
		}
		if resp != nil {
			resp.Body.Close() // another endpoint answers
		}
		if r, err = rewound(r); err != nil {
			return nil, err
		}
	}
}

// send sends a request to one endpoint, where it is under way until the response's body ends.
func (c balancer) send(r *http.Request, e *entry, p *endpoint) (*http.Response, error) {
	r.URL.Host, r.Host = p.address, ""
	resp, err := c.cfg.Base.RoundTrip(r)
	if err != nil {
		e.release(p, r.Context().Err() == nil)
		return nil, err
	}
	failed := resp.StatusCode == http.StatusServiceUnavailable
	if !failed && resp.StatusCode < http.StatusInternalServerError {
		c.cfg.Budget.Succeeded()
	}
	release := sync.OnceFunc(func() { e.release(p, failed) })
	if resp.Body == nil || resp.Body == http.NoBody {
		release()
		return resp, nil
	}
	b := &counted{resp.Body, release}
	resp.Body = b
	if w, ok := b.ReadCloser.(io.Writer); ok {
		resp.Body = &duplex{b, w}
	}
	return resp, nil
}

// again tells whether a request is sent to another endpoint.
func (c balancer) again(r *http.Request, resp *http.Response, err error) bool {
	if err == nil && resp.StatusCode != http.StatusServiceUnavailable || r.Context().Err() != nil {
		return false
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return rewindable(r) // nothing was sent
	}
	return repeatable(r) && c.cfg.Budget.Take()
}

// another tells whether there is an endpoint that was not tried.
func (e *entry) another(tried []*endpoint) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.endpoints) > len(tried)
}

// rewound is the request once more, with its body from the beginning.
func rewound(r *http.Request) (*http.Request, error) {
	again := r.Clone(r.Context())
	if r.GetBody == nil {
		return again, nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, fmt.Errorf("sending a request again: its body: %w", err)
	}
	again.Body = body
	return again, nil
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close() // as a RoundTripper does; nothing was sent
	}
}

// counted is the body of a response whose endpoint is busy until it ends.
type counted struct {
	io.ReadCloser
	release func()
}

// Read implements io.Reader.
func (b *counted) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.release()
	}
	return n, err
}

// Close implements io.Closer.
func (b *counted) Close() error {
	b.release()
	return b.ReadCloser.Close()
}

// duplex is the body of a connection that has changed to another protocol.
type duplex struct {
	*counted
	io.Writer
}
