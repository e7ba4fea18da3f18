package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Memory is a network inside the process. Its endpoints behave as those over TCP, but hand envelopes over as
// they are: for several nodes in one process, and for tests, which can make it fail. It knows no TLS.
//
// It works in a bubble of testing/synctest. All methods may be called concurrently.
type Memory struct {
	faults atomic.Pointer[faults]

	mu    sync.Mutex
	nodes map[string]*Endpoint
	ends  map[*memoryEnd]struct{}
}

// NewMemory returns a network without faults.
func NewMemory() *Memory {
	m := &Memory{nodes: map[string]*Endpoint{}, ends: map[*memoryEnd]struct{}{}}
	m.faults.Store(&faults{changed: make(chan struct{})})
	return m
}

// Listen starts a transport whose address is Config.Advertise; by default it is the node's name.
func (m *Memory) Listen(cfg Config) (*Endpoint, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.TLS != nil {
		return nil, errors.New("transport: Config.TLS is given, but nothing leaves the process")
	}
	address := cfg.Advertise
	if address == "" {
		address = cfg.Node
	}
	t := newEndpoint(cfg, address)
	t.reach = func(ctx context.Context, to Peer) (medium, introduction, error) { return m.reach(ctx, t, to) }
	t.leave = func() error { m.remove(t); return nil }
	m.mu.Lock()
	defer m.mu.Unlock()
	if other := m.nodes[address]; other != nil {
		return nil, fmt.Errorf("transport: %s is at %q already", other.self.Node, address)
	}
	m.nodes[address] = t
	return t, nil
}

func (m *Memory) remove(t *Endpoint) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.nodes[t.self.Address] == t {
		delete(m.nodes, t.self.Address)
	}
}

// reach makes a connection. While the way there or back is cut it waits, as TCP does.
func (m *Memory) reach(ctx context.Context, t *Endpoint, to Peer) (medium, introduction, error) {
	from := t.self.Address
	for {
		f := m.faults.Load()
		if !f.cut[way{from, to.Address}] && !f.cut[way{to.Address, from}] {
			if wait := f.delayOf(from, to.Address) + f.delayOf(to.Address, from); wait > 0 && !pause(ctx, wait) {
				return nil, introduction{}, fmt.Errorf("%w: %w", ErrUnreachable, context.Cause(ctx))
			}
			return m.connect(t, to)
		}
		select {
		case <-f.changed:
		case <-ctx.Done():
			return nil, introduction{}, fmt.Errorf("%w: %w", ErrUnreachable, context.Cause(ctx))
		}
	}
}

// connect joins two endpoints, if both agree.
func (m *Memory) connect(t *Endpoint, to Peer) (medium, introduction, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	target := m.nodes[to.Address]
	switch {
	case m.nodes[t.self.Address] != t:
		return nil, introduction{}, fmt.Errorf("%w: %s was killed", ErrUnreachable, t.self)
	case target == nil:
		return nil, introduction{}, fmt.Errorf("%w: connection to %s refused", ErrGone, to.Address)
	case to.Node != "" && to.Node != target.self.Node:
		return nil, introduction{}, fmt.Errorf("%w: %s", ErrGone, another(t.self, to, target.self.Node))
	}
	ours, theirs := t.cfg.hello(t.self, to.Node), target.cfg.hello(target.self, "")
	if why := target.cfg.judge(target.self, ours); why != "" {
		target.logs.say(target.cfg.Logger, "a connection is refused", "from", t.self.Address, "error", why)
		return nil, introduction{}, fmt.Errorf("%w by %s: %s", ErrRefused, to, why)
	}
	version, _ := t.cfg.versions.common(target.cfg.versions)
	there, back := newPipe(m, t.self.Address, to.Address), newPipe(m, to.Address, t.self.Address)
	near := &memoryEnd{m: m, cfg: &t.cfg, in: back, out: there, over: make(chan struct{})}
	far := &memoryEnd{m: m, cfg: &target.cfg, in: there, out: back, over: make(chan struct{})}
	if !target.spawn(func() { _ = target.serve(far, target.cfg.introduced(ours, version)) }) {
		return nil, introduction{}, fmt.Errorf("%w: %s is closed", ErrGone, to.Address)
	}
	m.ends[near], m.ends[far] = struct{}{}, struct{}{}
	with := t.cfg.introduced(theirs, version)
	if to.Node != "" {
		with.peer = to
	}
	return near, with, nil
}

// memoryEnd is one side's medium.
type memoryEnd struct {
	m       *Memory
	cfg     *Config
	in, out *pipe
	over    chan struct{}
	once    sync.Once
}

// close implements medium. The other side learns of it, unless the way there is cut.
func (e *memoryEnd) close() {
	e.once.Do(func() {
		close(e.over)
		e.out.end()
		e.m.mu.Lock()
		defer e.m.mu.Unlock()
		delete(e.m.ends, e)
	})
}

// send implements medium.
func (e *memoryEnd) send(b *batch) error {
	select {
	case <-e.over:
		return os.ErrClosed
	default:
		e.out.put(b)
		return nil
	}
}

// receive implements medium.
func (e *memoryEnd) receive(t taker) error {
	timer := time.NewTimer(e.cfg.DeadAfter)
	defer timer.Stop()
	for s := e.cfg.listen(time.Now()); ; {
		f := e.m.faults.Load()
		now := time.Now()
		b, at, ended := e.in.take(f, now)
		switch {
		case ended:
			return io.EOF
		case b != nil:
			s = e.cfg.listen(now)
			if err := e.hand(b, now, t); err != nil {
				return err
			}
			e.in.recycle(b)
			continue
		}
		if !now.Before(s.next) && s.dead(now, t) {
			return os.ErrDeadlineExceeded
		}
		next := s.next
		if !at.IsZero() && at.Before(next) {
			next = at
		}
		timer.Reset(next.Sub(now))
		select {
		case <-timer.C:
		case <-e.in.wake:
		case <-f.changed:
		case <-e.over:
			return os.ErrClosed
		}
	}
}

// hand hands a batch over. Errors become what they would be on the wire.
func (e *memoryEnd) hand(b *batch, now time.Time, t taker) error {
	for _, k := range b.calls {
		in := &Incoming{Envelope: *k.envelope, number: k.number, size: k.size}
		in.Remaining = max(k.deadline.Sub(now), 0)
		in.Request.Attempt = min(max(in.Request.Attempt, 0), maxAttempt)
		if err := t.takeEnvelope(in, ""); err != nil {
			return err
		}
	}
	for i := range b.answers {
		if err := t.takeAnswer(b.answers[i].number, b.answers[i].carried()); err != nil {
			return err
		}
	}
	for i := range b.parts {
		if err := t.takePart(b.parts[i]); err != nil {
			return err
		}
	}
	if b.goodbye {
		t.takeGoodbye()
	}
	return nil
}

// carried is an answer as it arrives.
func (a *outAnswer) carried() Answer {
	if a.Err == nil && a.Response != nil {
		return a.Answer
	}
	_, out, err := parseAnswer(appendAnswer(nil, a.number, &a.Answer), names{})
	if err != nil {
		return lost("the answer cannot be read: %v", err)
	}
	return out
}

// pipe is one direction of a connection in memory.
type pipe struct {
	m        *Memory
	from, to string
	wake     chan struct{}

	mu sync.Mutex
	// queue is handed over in order, each batch when it is due: none overtakes another.
	queue []*batch
	due   []time.Time
	free  []*batch
	// ended tells that nothing comes after the queue; it is due when the rest is.
	ended bool
}

func newPipe(m *Memory, from, to string) *pipe {
	return &pipe{m: m, from: from, to: to, wake: make(chan struct{}, 1)}
}

// put takes a batch's content and leaves it empty.
func (p *pipe) put(b *batch) {
	f := p.m.faults.Load()
	p.mu.Lock()
	var sent *batch
	if n := len(p.free); n > 0 {
		sent, p.free = p.free[n-1], p.free[:n-1]
	} else {
		sent = &batch{}
	}
	*sent, *b = *b, *sent
	f.thin(p.from, p.to, sent)
	p.queue, p.due = append(p.queue, sent), append(p.due, sent.now.Add(f.delayOf(p.from, p.to)))
	p.mu.Unlock()
	p.signal()
}

func (p *pipe) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *pipe) end() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.signal()
}

// take returns the next batch if it is due, or when it will be. While the way is cut nothing comes out.
func (p *pipe) take(f *faults, now time.Time) (b *batch, due time.Time, ended bool) {
	if f.cut[way{p.from, p.to}] {
		return nil, time.Time{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return nil, time.Time{}, p.ended
	}
	if due := p.due[0]; now.Before(due) {
		return nil, due, false
	}
	b = p.queue[0]
	p.queue, p.due = dropFirst(p.queue, 1), dropFirst(p.due, 1)
	return b, time.Time{}, false
}

// maxFreeBatches bounds the memory that a pipe keeps for batches to come.
const maxFreeBatches = 4

func (p *pipe) recycle(b *batch) {
	b.clear()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < maxFreeBatches && cap(b.calls)+cap(b.answers)+cap(b.parts) < 4096 {
		p.free = append(p.free, b)
	}
}
