package transport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// peer is a process that this node asks: the envelopes that wait for its answers, and the connection to it, which is
// made when the first of them comes.
type peer struct {
	t  *Endpoint
	to Peer

	mu sync.Mutex
	// conn is nil while there is none. attempt is closed when the connection that is being made is there, or cannot be.
	// former is one that conn has replaced: it brings the answers to what was written to it, and then ends.
	conn, former *conn
	renewing     bool
	attempt      chan struct{}
	cancel       context.CancelFunc
	// queue holds the calls that are not written, waiting all that are not answered.
	queue   []*call
	waiting map[uint64]*call
	bytes   int
	next    uint64
	used    time.Time
	// After failures in a row nothing is tried before notBefore.
	failures  int
	notBefore time.Time
	failure   error
	// sweep ends the calls whose time is over; it is armed while there are any.
	sweep *time.Timer
	armed bool
	// gone tells that the transport knows the peer no more: who finds it so looks it up again.
	gone bool
}

// call is an envelope that waits for its answer.
type call struct {
	number   uint64
	envelope *Envelope
	done     func(Answer)
	deadline time.Time
	size     int
	// on is where it was, or may have been, written to the peer; finished tells that it was answered.
	on       *conn
	finished bool
}

// send queues an envelope. It returns false, and the answer, if it cannot; known is false if the peer is to be looked up again.
func (p *peer) send(e *Envelope, size int, done func(Answer)) (a Answer, ok, known bool) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return Answer{}, false, false
	}
	if len(p.waiting) >= p.t.cfg.MaxCalls || p.bytes+size > p.t.cfg.MaxCallBytes {
		return busy("%d envelopes with %d bytes to %s are unanswered already", len(p.waiting), p.bytes, p.to), false, true
	}
	if !p.connecting(now) {
		return p.unreachable(now), false, true
	}
	p.next++
	p.used = now
	k := &call{number: p.next, envelope: e, done: done, deadline: now.Add(min(e.Remaining, maxRemaining)), size: size}
	p.waiting[k.number] = k
	p.queue = append(p.queue, k)
	p.bytes += size
	p.arm()
	if p.conn != nil {
		p.conn.signal()
	}
	return Answer{}, true, true
}

// connecting makes sure that there is a connection, or will be, with the lock held. It returns false while the
// peer is left alone after a failure, and while somebody else finds out whether it is there again: where packets
// vanish that takes long, and there may be another way.
func (p *peer) connecting(now time.Time) bool {
	switch {
	case p.conn != nil:
		return true
	case p.attempt != nil:
		return p.failures == 0
	}
	if now.Before(p.notBefore) {
		return false
	}
	var ctx context.Context
	ctx, p.cancel = context.WithTimeout(p.t.life, p.t.cfg.DialTimeout)
	p.attempt = make(chan struct{})
	p.t.work.Go(func() { p.connect(ctx) })
	return true
}

// unreachable answers while the peer is left alone, with the lock held.
func (p *peer) unreachable(now time.Time) Answer {
	return notSent(p.failure, p.notBefore.Sub(now), "%s cannot be reached: %v", p.to, p.failure)
}

// connect makes a connection and serves it to its end.
func (p *peer) connect(ctx context.Context) {
	m, with, err := p.t.reach(ctx, p.to)
	if err != nil {
		p.failed(err)
		return
	}
	c := newConn(p.t, m, with, p)
	p.mu.Lock()
	p.cancel()
	gone := p.gone
	if !gone {
		p.conn = c
		close(p.attempt)
		p.attempt = nil
	}
	p.mu.Unlock()
	if gone {
		m.close()
		return
	}
	c.signal()
	c.run()
	if c.broke() {
		p.lookAgain()
	}
}

const (
	// lookAfter is the least time until a connection that broke is made again, and half of the most: a process that ends
	// closes all it has meanwhile, and not all its peers come at once.
	lookAfter = 10 * time.Millisecond
	// maxLooks bounds the looks at a peer whose connections do not last.
	maxLooks = 3
)

// lookAgain connects to a peer, a moment after a connection from or to it broke, to learn whether it is still there.
func (p *peer) lookAgain() {
	if !pause(p.t.life, lookAfter+rand.N(lookAfter)) {
		return
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone || p.failures >= maxLooks && now.Before(p.notBefore.Add(settled)) {
		return
	}
	p.notBefore = time.Time{}
	p.used = now
	p.connecting(now)
}

// failed ends an attempt to connect.
func (p *peer) failed(err error) {
	p.mu.Lock()
	p.cancel()
	if p.gone {
		p.mu.Unlock()
		return
	}
	news := p.failure == nil || p.failure.Error() != err.Error()
	p.back(err)
	close(p.attempt)
	p.attempt = nil
	all := p.drain(nil)
	p.mu.Unlock()
	if news {
		p.t.logs.say(p.t.cfg.Logger, "a node cannot be reached", "peer", p.to.String(), "error", err.Error())
	}
	finish(all, err)
	p.tell(err)
}

// tell tells who wants to know what an attempt that failed says about the process.
func (p *peer) tell(err error) {
	switch {
	case p.to.Node == "" || errors.Is(err, ErrRefused):
	case errors.Is(err, ErrGone):
		p.t.cfg.Gone(p.to)
	default:
		p.t.cfg.Silent(p.to)
	}
}

// back lets the peer rest, longer after each failure, with the lock held.
func (p *peer) back(err error) {
	p.failure = err
	pause := p.t.cfg.MaxBackoff
	if p.failures < 16 {
		pause = min(pause, p.t.cfg.MinBackoff<<p.failures)
	}
	p.failures++
	p.notBefore = time.Now().Add(pause/2 + rand.N(pause/2+1))
}

// settled is how long a connection must have lived to count as a success.
const settled = time.Second

// lost takes in the end of a connection: it fails what waits.
func (p *peer) lost(c *conn) {
	p.mu.Lock()
	if p.conn != c {
		all := p.drain(c)
		p.mu.Unlock()
		finish(all, fmt.Errorf("%w: %w", ErrUnreachable, c.cause))
		return
	}
	p.conn = nil
	if time.Since(c.began) < settled {
		p.back(fmt.Errorf("%w: %w", ErrUnreachable, c.cause))
	} else {
		p.failures, p.failure = 0, nil
	}
	all := append(p.drain(nil), p.drain(c)...)
	p.mu.Unlock()
	finish(all, fmt.Errorf("%w: %w", ErrUnreachable, c.cause))
}

// drain takes the calls away that were written to a connection, or, if it is nil, those that were written to none; with the
// lock held.
func (p *peer) drain(on *conn) []*call {
	var all []*call
	for _, k := range p.waiting {
		if k.on == on {
			all = append(all, p.remove(k))
		}
	}
	if on == nil {
		p.queue = nil
	}
	if p.former == on {
		p.former = nil
	}
	return all
}

// finish answers calls whose peer is gone.
func finish(all []*call, cause error) {
	for _, k := range all {
		if k.on != nil {
			k.done(lost("the connection ended after it was sent: %v", cause))
		} else {
			k.done(notSent(cause, busyAfter, "it was not sent: %v", cause))
		}
	}
}

// take takes calls from the queue to write them to c: up to about gatherBytes, and at least one.
func (p *peer) take(to []*call, now time.Time, c *conn) []*call {
	maxMessage := c.with.maxMessage
	p.mu.Lock()
	if p.conn != c {
		p.mu.Unlock()
		return to
	}
	var late, large []*call
	n, bytes := 0, 0
	for ; n < len(p.queue); n++ {
		k := p.queue[n]
		if len(to) > 0 && bytes+k.size > gatherBytes {
			break
		}
		switch {
		case k.finished:
		case !now.Before(k.deadline):
			late = append(late, p.remove(k))
		case k.size > maxMessage:
			large = append(large, p.remove(k))
		default:
			k.on = c
			to = append(to, k)
			bytes += k.size
		}
	}
	p.queue = dropFirst(p.queue, n)
	p.mu.Unlock()
	expire(late)
	for _, k := range large {
		k.done(tooLarge(k.size, maxMessage))
	}
	return to
}

// remove takes a call out, with the lock held.
func (p *peer) remove(k *call) *call {
	k.finished = true
	delete(p.waiting, k.number)
	p.bytes -= k.size
	return k
}

// answered takes in an answer. One that nobody waits for any more is dropped.
func (p *peer) answered(number uint64, a Answer) {
	p.mu.Lock()
	k := p.waiting[number]
	if k == nil || k.on == nil {
		p.mu.Unlock()
		return
	}
	p.remove(k)
	p.mu.Unlock()
	k.done(a)
}

// arm makes sure that calls end when their time is over, with the lock held.
func (p *peer) arm() {
	if p.armed {
		return
	}
	p.armed = true
	if p.sweep == nil {
		p.sweep = time.AfterFunc(Tardiness, p.expireCalls)
		return
	}
	p.sweep.Reset(Tardiness)
}

// expireCalls ends the calls whose time is over.
func (p *peer) expireCalls() {
	p.mu.Lock()
	p.armed = false
	if p.gone {
		p.mu.Unlock()
		return
	}
	p.t.work.Add(1)
	defer p.t.work.Done()
	now := time.Now()
	var late []*call
	for _, k := range p.waiting {
		if !now.Before(k.deadline) {
			late = append(late, p.remove(k))
		}
	}
	if len(p.waiting) > 0 {
		p.arm()
	}
	p.mu.Unlock()
	expire(late)
}

// expire answers calls whose time is over.
func expire(late []*call) {
	for _, k := range late {
		if k.on != nil {
			k.done(lost("no answer came within its time"))
		} else {
			k.done(notSent(nil, 0, "its time was over before it was sent"))
		}
	}
}

// retire gives a connection up on which nothing was asked for a while. A call that comes later makes a new one. One
// that has been replaced goes when it has brought its answers.
func (p *peer) retire(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.former == c {
		return c.streams.count() == 0 && !p.waitsOn(c)
	}
	if p.conn != c || len(p.waiting) > 0 || c.streams.count() > 0 || time.Since(p.used) < p.t.cfg.IdleAfter {
		return false
	}
	p.conn = nil
	return true
}

// connected waits for a connection.
func (p *peer) connected(ctx context.Context) (c *conn, known bool, err error) {
	for {
		p.mu.Lock()
		now := time.Now()
		p.used = now
		switch {
		case p.gone:
			p.mu.Unlock()
			return nil, false, nil
		case p.conn != nil:
			c := p.conn
			p.mu.Unlock()
			return c, true, nil
		case !p.connecting(now):
			a := p.unreachable(now)
			p.mu.Unlock()
			return nil, true, a.Err
		}
		attempt := p.attempt
		p.mu.Unlock()
		select {
		case <-attempt:
		case <-ctx.Done():
			return nil, true, fmt.Errorf("transport: connecting to %s: %w", p.to, ctx.Err())
		}
	}
}

// leave ends everything with the peer, which the transport knows no more.
func (p *peer) leave(cause error) {
	p.mu.Lock()
	if p.gone {
		p.mu.Unlock()
		return
	}
	p.gone = true
	c, former := p.conn, p.former
	p.conn = nil
	if p.attempt != nil {
		p.cancel()
		close(p.attempt)
	}
	if p.sweep != nil {
		p.sweep.Stop()
	}
	all := slices.Concat(p.drain(nil), p.drain(c), p.drain(former))
	p.mu.Unlock()
	finish(all, cause)
	for _, c := range []*conn{c, former} {
		if c != nil {
			c.end(cause)
		}
	}
}

// forget makes the peer be looked up again by whoever holds it. It returns false if it is in use, or left alone after a failure.
func (p *peer) forget(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil || p.former != nil || p.attempt != nil || len(p.waiting) > 0 || now.Before(p.notBefore) {
		return false
	}
	p.gone = true
	return true
}
