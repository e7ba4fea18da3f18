package stream

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/skerryhq/skerry/journal"
)

// Stream is an http.Handler that sends committed events to browsers. It may be used by any
// number of requests at once.
type Stream struct {
	cfg    Config
	render *renderer
	places chan struct{} // of those who read the journal
	stats  counters

	mu        sync.Mutex
	hub       *hub // while there are clients
	clients   map[*client]struct{}
	addresses map[string]int
	stopping  bool
	empty     chan struct{} // closed when the last client has left after Stop
}

// counters only grow.
type counters struct {
	messages, cutOff, resets, refused, catchUps atomic.Uint64
}

// New returns a stream. It runs nothing while it has no clients.
func New(cfg Config) (*Stream, error) {
	cfg, err := cfg.filled()
	if err != nil {
		return nil, err
	}
	return &Stream{
		cfg: cfg, render: newRenderer(cfg), places: make(chan struct{}, maxReads),
		clients: map[*client]struct{}{}, addresses: map[string]int{}, empty: make(chan struct{}),
	}, nil
}

// ServeHTTP implements http.Handler. It returns when the client goes or is cut off, or after Stop.
func (s *Stream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	wish, refusal := s.admit(w, r)
	if refusal == nil {
		refusal = s.serve(w, r, wish)
	}
	if refusal != nil {
		s.stats.refused.Add(1)
		refusal.write(w)
	}
}

// serve answers one request, unless it is refused.
func (s *Stream) serve(w http.ResponseWriter, r *http.Request, wish wish) *refusal {
	out := newWriter(w, &s.cfg, &s.stats)
	if out == nil {
		s.cfg.Logger.Error("the stream cannot set deadlines: a handler around it needs a ResponseWriter with Unwrap")
		return refuse(http.StatusInternalServerError, "skerry/failed", "this server cannot stream", "Tell the operator: the log says why.")
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	c := &client{
		cfg: &s.cfg, address: addressOf(r), topics: wish.topics, out: out, cancel: cancel,
		signal: make(chan struct{}, 1),
	}
	h, refusal := s.enter(c)
	if refusal != nil {
		return refusal
	}
	defer s.leave(c)
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	err := s.stream(ctx, c, h, wish)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, errSlow) {
		err = cause
	}
	s.ended(c, err)
	return nil
}

// stream serves one client until something ends it.
func (s *Stream) stream(ctx context.Context, c *client, h *hub, wish wish) error {
	defer h.leave(c)
	if err := c.out.hello(s.cfg.Retry); err != nil {
		return err
	}
	if err := s.begin(ctx, c, h, wish); err != nil {
		return err
	}
	return c.live(ctx, h)
}

// begin brings a client to where it is live.
func (s *Stream) begin(ctx context.Context, c *client, h *hub, wish wish) error {
	history := s.cfg.Source.History()
	if !wish.resumes {
		h.join(c)
		return c.out.position(c.at.text(history))
	}
	err := errTooFarBehind
	if at, ok := s.position(wish.token); ok {
		c.at = at
		err = s.resume(ctx, c, h)
	}
	if errors.Is(err, errTooFarBehind) {
		h.join(c)
		return c.out.reset(c.at.text(history))
	}
	return err
}

// resume tells a client what it has missed, from the journal as far as the hub has forgotten it.
func (s *Stream) resume(ctx context.Context, c *client, h *hub) error {
	history := s.cfg.Source.History()
	for {
		missed, gaps, err := h.resume(ctx, c, s.cfg.MaxBehind)
		if err != nil {
			return err
		}
		if len(gaps) == 0 {
			return c.tell(ctx, history, missed)
		}
		s.stats.catchUps.Add(1)
		k := &catcher{source: s.cfg.Source, render: s.render, places: s.places}
		for _, g := range gaps {
			if err := k.fill(ctx, c, g); err != nil {
				return err
			}
		}
	}
}

// position is what a token says; false if it cannot be one of this journal.
func (s *Stream) position(token journal.Token) (position, bool) {
	if token.History != s.cfg.Source.History() {
		return nil, false
	}
	at := make(position, s.cfg.Source.Shards())
	for _, o := range token.Offsets {
		if int(o.Shard) >= len(at) {
			return nil, false
		}
		at[o.Shard] = o.Offset
	}
	return at, true
}

// ended notes why a stream has ended.
func (s *Stream) ended(c *client, err error) {
	slow := errors.Is(err, errSlow)
	c.out.close(slow)
	switch {
	case slow:
		s.stats.cutOff.Add(1)
		s.cfg.Logger.Info("a slow client of the stream was cut off", "address", c.address)
	case errors.Is(err, context.Canceled), errors.Is(err, errStopped):
	default:
		s.cfg.Logger.Warn("a stream has ended", "address", c.address, "err", err)
	}
}

// enter counts a client in, and starts the hub with the first.
func (s *Stream) enter(c *client) (*hub, *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopping:
		return nil, refuse(http.StatusServiceUnavailable, "skerry/unavailable", "the server is shutting down", "Try again.").after(1)
	case len(s.clients) >= s.cfg.MaxClients:
		return nil, refuse(http.StatusServiceUnavailable, "skerry/busy", "too many streams are open", "Try again later.").after(retryAfterSeconds)
	case s.cfg.MaxClientsPerAddress > 0 && s.addresses[c.address] >= s.cfg.MaxClientsPerAddress:
		return nil, refuse(http.StatusTooManyRequests, "skerry/busy", "too many streams are open from this address", "Close one of them.").after(retryAfterSeconds)
	}
	if s.hub == nil {
		s.hub = startHub(s.cfg, s.render)
	}
	s.clients[c] = struct{}{}
	s.addresses[c.address]++
	return s.hub, nil
}

// retryAfterSeconds is when a refused client should try again.
const retryAfterSeconds = 5

// leave counts a client out; with the last one the hub ends.
func (s *Stream) leave(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
	if s.addresses[c.address]--; s.addresses[c.address] == 0 {
		delete(s.addresses, c.address)
	}
	if len(s.clients) > 0 {
		return
	}
	s.hub.stop()
	s.hub = nil
	if s.stopping {
		close(s.empty)
	}
}

// Stop ends all streams at once and refuses new ones; browsers come back to whoever serves then, and
// resume. It waits for their goroutines until ctx ends. Call it before http.Server.Shutdown, which waits
// for streams but does not end them. It may be called again.
func (s *Stream) Stop(ctx context.Context) error {
	s.mu.Lock()
	if !s.stopping {
		s.stopping = true
		if len(s.clients) == 0 {
			close(s.empty)
		}
	}
	for c := range s.clients {
		c.stop(errStopped)
	}
	s.mu.Unlock()
	select {
	case <-s.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
