package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/internal/shard"
	"github.com/skerryhq/skerry/journal"
)

// ClientConfig says which gateways a [Client] speaks to, and how. URLs is required; a
// zero field means the default that its comment gives.
type ClientConfig struct {
	// URLs are where the gateway of a service is mounted, such as http://127.0.0.1:8080. All must lead to the same
	// entities. The first is used; when it cannot be reached the next, and so on, around.
	URLs []string
	// HTTP sends the requests. Default: a client of its own that keeps one HTTP/2 connection per
	// URL, also without TLS. Timeouts of one given here end attempts, not calls.
	HTTP *http.Client
	// Header is sent with each request, such as credentials. Default: none.
	Header http.Header
	// Logger default: slog.Default().
	Logger *slog.Logger

	// Timeout is a call's whose context has no deadline. Default 5 s. More than [MaxTimeout] is cut to it.
	Timeout time.Duration
	// MaxCalls bounds the calls under way. Default 16,384. Beyond, callers get [entity.ErrBusy].
	MaxCalls int
}

const defaultCalls = 16 << 10

func (c ClientConfig) withDefaults() (ClientConfig, error) {
	if c.HTTP == nil {
		c.HTTP = &http.Client{Transport: newTransport()}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Timeout = orDefault(c.Timeout, defaultTimeout)
	c.MaxCalls = orDefault(c.MaxCalls, defaultCalls)
	switch {
	case len(c.URLs) == 0:
		return c, errors.New("gateway: ClientConfig.URLs is empty: give the URL of a gateway, such as http://127.0.0.1:8080")
	case c.Timeout < 0:
		return c, fmt.Errorf("gateway: ClientConfig.Timeout is %v: it must be positive", c.Timeout)
	case c.MaxCalls < 0:
		return c, fmt.Errorf("gateway: ClientConfig.MaxCalls is %d: it must be positive", c.MaxCalls)
	}
	for _, text := range c.URLs {
		if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
			return c, fmt.Errorf("gateway: ClientConfig.URLs has %s: give http://HOST:PORT or https://HOST:PORT, with a path if the gateway is below one", quoted(text))
		}
	}
	return c, nil
}

// Client reaches the entities of a service from any process: it is an [entity.Caller]. All methods may
// be called concurrently.
//
// A call is repeated with the same key, by the kind of its answer, until it has one that is final
// or its deadline has passed; the deadline travels with it. A command without a key gets one of the client's own, so that
// this is safe; whoever wants to repeat a call that ended with
// [entity.ErrUnknownOutcome] gives a key of their own ([entity.Key]).
//
// It is meant to live as long as its process. An entity remembers each client for two
// days, and at most 1,024 of them: a program that runs for one command only gives it a key.
type Client struct {
	cfg    ClientConfig
	links  *links
	keys   *entity.ClientKeys
	budget *budget

	// life ends when the client is closed.
	life context.Context //nolint:containedctx // the life of the client, not of a call
	end  context.CancelFunc

	mu     sync.Mutex
	closed bool
	active int
	calls  sync.WaitGroup
}

// Dial returns a client. It connects with the first call, so it succeeds without a server too.
func Dial(cfg ClientConfig) (*Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, links: newLinks(cfg), keys: entity.NewClientKeys(), budget: newBudget(time.Now())}
	c.life, c.end = context.WithCancel(context.Background())
	return c, nil
}

// Close ends the calls under way, as their fate is then known, and the connections. A second call does nothing.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end()
	c.calls.Wait()
	c.cfg.HTTP.CloseIdleConnections()
	return nil
}

// Call implements [entity.Caller]. Who sends it is decided by the gateway, from credentials: a request
// that names a principal is refused.
func (c *Client) Call(ctx context.Context, req *entity.Request) (*entity.Response, error) {
	if req.Principal != "" {
		return nil, &entity.Rejection{Code: codeMalformed, Message: "a client outside cannot say on whose behalf it calls: the gateway knows by credentials; give them in ClientConfig.Header"}
	}
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer c.leave()
	ctx, cancel := c.deadline(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	sent := *req
	to := journal.Entity{Type: req.Type, ID: req.ID}
	ours := req.Key.Kind == shard.NoKey && !req.Lookup && !req.Async && !req.Query
	if ours {
		sent.Key = c.keys.Open(to, time.Now())
	}
	t := &trail{attempt: max(req.Attempt, 1), readOnly: req.Query || req.Lookup}
	if ours {
		t.yield = func(r *entity.Request) { r.Key = c.keys.Yield(to, r.Key) }
	}
	resp, err := c.persist(ctx, &sent, t)
	switch {
	case !ours:
	case t.doubt && errors.Is(err, entity.ErrUnknownOutcome):
		c.keys.Keep(to, sent.Key)
	default:
		c.keys.Close(to, sent.Key)
	}
	return resp, err
}

// enter counts a call in.
func (c *Client) enter() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return &entity.Error{Kind: entity.ErrUnavailable, Reason: "the client is closed"}
	case c.active >= c.cfg.MaxCalls:
		return &entity.Error{Kind: entity.ErrBusy, Reason: fmt.Sprintf("%d calls of this client are under way, the limit (ClientConfig.MaxCalls)", c.active), RetryAfter: leastRetry}
	}
	c.active++
	c.calls.Add(1)
	return nil
}

func (c *Client) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active--
	c.calls.Done()
}

// deadline gives a call its time.
func (c *Client) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := MaxTimeout
	if _, given := ctx.Deadline(); !given {
		limit = min(c.cfg.Timeout, MaxTimeout)
	}
	return context.WithTimeout(ctx, limit)
}

// trimmed is a URL to which a path can be added.
func trimmed(url string) string { return strings.TrimRight(url, "/") }
