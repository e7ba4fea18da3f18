package transport

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerryhq/skerry/entity"
)

// Endpoint is a node's [Transport]: over TCP, made by [Listen], or in memory, made by [Memory.Listen].
type Endpoint struct {
	cfg    Config
	self   Peer
	logs   quietly
	served atomic.Pointer[Handler]
	// reach makes a connection and says hello; ctx bounds all of it. leave stops new ones from coming.
	reach func(ctx context.Context, to Peer) (medium, introduction, error)
	leave func() error

	// life ends with the transport; work counts its goroutines.
	life context.Context //nolint:containedctx // the life of the transport, not of a call
	end  context.CancelFunc
	work sync.WaitGroup

	mu     sync.RWMutex
	closed bool
	peers  map[Peer]*peer
	// incoming are the connections that peers made.
	incoming map[*conn]struct{}
}

var _ Transport = (*Endpoint)(nil)

func newEndpoint(cfg Config, address string) *Endpoint {
	t := &Endpoint{
		cfg: cfg, self: Peer{Node: cfg.Node, Address: address},
		peers: map[Peer]*peer{}, incoming: map[*conn]struct{}{},
	}
	t.life, t.end = context.WithCancel(context.Background())
	return t
}

// Self implements [Transport].
func (t *Endpoint) Self() Peer { return t.self }

// Serve implements [Transport].
func (t *Endpoint) Serve(h Handler) { t.served.Store(&h) }

func (t *Endpoint) handler() Handler {
	if h := t.served.Load(); h != nil {
		return *h
	}
	return nil
}

// Send implements [Transport].
func (t *Endpoint) Send(to Peer, e *Envelope, done func(Answer)) {
	if a, ok := e.check(); !ok {
		done(a)
		return
	}
	size := e.size()
	if size > t.cfg.MaxMessageBytes {
		done(tooLarge(size, t.cfg.MaxMessageBytes))
		return
	}
	for {
		p, err := t.peer(to)
		if err != nil {
			done(notSent(err, busyAfter, "%v", err))
			return
		}
		if a, ok, known := p.send(e, size, done); known {
			if !ok {
				done(a)
			}
			return
		}
	}
}

// Open implements [Transport].
func (t *Endpoint) Open(ctx context.Context, to Peer, subject string, request []byte) (*Stream, error) {
	if len(subject)+len(request) > MaxOpenBytes {
		return nil, fmt.Errorf("transport: stream %q: a request of %d bytes; at most %d are taken", subject, len(request), MaxOpenBytes)
	}
	for {
		p, err := t.peer(to)
		if err != nil {
			return nil, err
		}
		c, known, err := p.connected(ctx)
		if err != nil {
			return nil, err
		}
		if known {
			return c.open(ctx, to, subject, request)
		}
	}
}

// open opens a stream on a connection that this node made.
func (c *conn) open(ctx context.Context, to Peer, subject string, request []byte) (*Stream, error) {
	s := newStream(0, to, subject, request, streamOf{c})
	c.mu.Lock() // streams are opened in the order of their numbers
	err := c.streams.add(s, c.t.cfg.MaxStreams)
	if err == nil {
		c.parts = append(c.parts, part{stream: s.id, kind: partOpen, subject: subject, data: append([]byte(nil), request...), credit: StreamWindow})
	}
	c.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("transport: stream %q: %w", subject, err)
	}
	c.signal()
	s.bind(ctx)
	return s, nil
}

// peer returns what is known of a peer.
func (t *Endpoint) peer(to Peer) (*peer, error) {
	t.mu.RLock()
	p, closed := t.peers[to], t.closed
	t.mu.RUnlock()
	switch {
	case closed:
		return nil, ErrClosed
	case p != nil:
		return p, nil
	}
	return t.meet(to)
}

// meet adds a peer; if there are too many, those that are not used go.
func (t *Endpoint) meet(to Peer) (*peer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, ErrClosed
	}
	if p := t.peers[to]; p != nil {
		return p, nil
	}
	if len(t.peers) >= t.cfg.MaxPeers {
		now := time.Now()
		for known, p := range t.peers {
			if p.forget(now) {
				delete(t.peers, known)
			}
		}
	}
	if len(t.peers) >= t.cfg.MaxPeers {
		return nil, fmt.Errorf("%w: %d peers are spoken to already, the limit (Config.MaxPeers)", ErrUnreachable, len(t.peers))
	}
	p := &peer{t: t, to: to, waiting: map[uint64]*call{}}
	t.peers[to] = p
	return p, nil
}

// Disconnect implements [Transport].
func (t *Endpoint) Disconnect(node string) {
	cause := fmt.Errorf("%w: the node is gone", ErrUnreachable)
	t.mu.Lock()
	var left []*peer
	var ended []*conn
	for to, p := range t.peers {
		if to.Node == node {
			delete(t.peers, to)
			left = append(left, p)
		}
	}
	for c := range t.incoming {
		if c.with.peer.Node == node {
			ended = append(ended, c)
		}
	}
	t.mu.Unlock()
	for _, p := range left {
		p.leave(cause)
	}
	for _, c := range ended {
		c.end(cause)
	}
}

// Close implements [Transport].
func (t *Endpoint) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		t.work.Wait()
		return nil
	}
	t.closed = true
	var left []*peer
	var ended []*conn
	for _, p := range t.peers {
		left = append(left, p)
	}
	for c := range t.incoming {
		ended = append(ended, c)
	}
	t.mu.Unlock()
	t.end()
	err := t.leave()
	for _, p := range left {
		p.leave(ErrClosed)
	}
	for _, c := range ended {
		c.finish()
	}
	hurry := time.AfterFunc(closeGrace, func() {
		for _, c := range ended {
			c.end(ErrClosed)
		}
	})
	defer hurry.Stop()
	t.work.Wait()
	return err
}

// closeGrace is how long Close waits for peers to take the answers that were given before it.
const closeGrace = time.Second

// serve serves a connection that a peer made, to its end. It returns at once if it may not be served.
func (t *Endpoint) serve(m medium, with introduction) error {
	c := newConn(t, m, with, nil)
	t.mu.Lock()
	var err error
	switch {
	case t.closed:
		err = ErrClosed
	case len(t.incoming) >= t.cfg.MaxConns:
		err = fmt.Errorf("%w: %d connections are served already, the limit (Config.MaxConns)", ErrRefused, len(t.incoming))
	default:
		t.incoming[c] = struct{}{}
	}
	t.mu.Unlock()
	if err != nil {
		m.close()
		return err
	}
	c.run()
	t.mu.Lock()
	delete(t.incoming, c)
	t.mu.Unlock()
	if c.broke() {
		t.lookAt(with.peer.Node)
	}
	return nil
}

// lookAt learns whether a process is still there that made a connection which broke. It is looked for where Config.Route knows it to be,
// and not where it said: any program can say hello under the name of another, and that one would be told to be gone. Nobody is
// looked at that Route does not know, nor where the transport has closed or knows too many peers.
func (t *Endpoint) lookAt(node string) {
	who, known := t.cfg.Route(node)
	if !known || who.Node != node {
		return
	}
	if p, err := t.peer(who); err == nil {
		p.lookAgain()
	}
}

// deliver hands an envelope to who answers it.
func (t *Endpoint) deliver(in *Incoming) {
	h := t.handler()
	switch {
	case in.Destination != "" && in.Destination != t.self.Node:
		forward(t, t.cfg.Route, in)
	case in.Subject == subjectCheck:
		in.Answer(Answer{Response: &entity.Response{}})
	case h == nil:
		in.Answer(notSent(nil, busyAfter, "%s is starting", t.self))
	default:
		h.Deliver(in)
	}
}

// spawn starts a goroutine of the endpoint's. It returns false if it is closed.
func (t *Endpoint) spawn(run func()) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.closed {
		return false
	}
	t.work.Go(run)
	return true
}
