package transport

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// conn is one connection. Envelopes go from the node that made it to the other one, and answers back; so
// two nodes that ask each other have two.
//
// Two goroutines serve it: one reads, one writes. Whoever has something to send puts it in a queue and wakes the writer;
// what gathers while a write is under way leaves with the next one.
type conn struct {
	t      *Endpoint
	medium medium
	with   introduction
	// asks is the peer whose envelopes leave here, on the side that made the connection. It is nil on the other.
	asks    *peer
	streams streams
	// serving counts the handlers of streams that have not returned, also of streams that are over.
	serving atomic.Int64
	began   time.Time

	wake chan struct{}
	over chan struct{}
	once sync.Once
	// closing tells the writer to end the connection once it has written what is queued.
	closing atomic.Bool
	// parted tells that the peer said goodbye: it closes the connection, and lives.
	parted atomic.Bool
	// cause is why it ended; it may be read when over is closed.
	cause error

	mu          sync.Mutex
	answers     []outAnswer
	answerBytes int
	parts       []part
	// inCalls and inBytes count the envelopes that arrived and are not answered.
	inCalls, inBytes int
}

type outAnswer struct {
	Answer
	number uint64
	size   int
}

// medium carries batches from one end of a connection to the other, in order.
type medium interface {
	// send carries a batch to the peer. It is called by one goroutine.
	send(b *batch) error
	// receive hands what the peer sends to t until the connection ends, and says why it did.
	receive(t taker) error
	// close makes send and receive return. It may be called at any time.
	close()
}

func newConn(t *Endpoint, m medium, with introduction, asks *peer) *conn {
	return &conn{
		t: t, medium: m, with: with, asks: asks, began: time.Now(),
		wake: make(chan struct{}, 1), over: make(chan struct{}),
	}
}

// run serves the connection to its end.
func (c *conn) run() {
	var writer sync.WaitGroup
	writer.Go(c.write)
	c.end(c.why(c.medium.receive(c)))
	writer.Wait()
}

// end closes the connection, once.
func (c *conn) end(cause error) {
	c.once.Do(func() {
		c.cause = cause
		close(c.over)
		c.medium.close()
		c.streams.fail(fmt.Errorf("%w: %w", ErrLost, cause))
		if c.asks != nil {
			c.asks.lost(c)
		}
	})
}

// finish ends the connection after the answers that are given by now.
func (c *conn) finish() {
	c.closing.Store(true)
	c.signal()
}

// signal wakes the writer.
func (c *conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Why connections end, beside what the network says.
var (
	errSilent     = errors.New("nothing is heard of the peer")
	errIdle       = errors.New("nothing was asked for a while")
	errNotReading = errors.New("the peer does not read its answers")
	errEnded      = errors.New("the peer closed the connection")
)

// why names the end of a connection.
func (c *conn) why(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w for %v", errSilent, c.t.cfg.DeadAfter)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errEnded
	case errors.Is(err, errGarbage):
		c.t.logs.say(c.t.cfg.Logger, "a connection is closed: its peer breaks the protocol", "peer", c.with.peer.String(), "error", err.Error())
	}
	return err
}

// takeEnvelope implements taker.
func (c *conn) takeEnvelope(in *Incoming, wrong string) error {
	if c.asks != nil {
		return fmt.Errorf("%w: an envelope against the direction of the connection", errGarbage)
	}
	in.From, in.answerer = c.with.peer, c
	switch {
	case !c.admit(in.size):
		c.post(in.number, busy("%s has too many unanswered envelopes of %s", c.t.self, c.with.peer))
	case wrong != "":
		in.Answer(refusalOfEnvelope(wrong))
	default:
		c.t.deliver(in)
	}
	return nil
}

// admit counts an envelope in, if there is room.
func (c *conn) admit(size int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inCalls >= c.t.cfg.MaxCalls || c.inBytes+size > c.t.cfg.MaxCallBytes {
		return false
	}
	c.inCalls++
	c.inBytes += size
	return true
}

// answer implements answerer.
func (c *conn) answer(in *Incoming, a Answer) {
	c.mu.Lock()
	c.inCalls--
	c.inBytes -= in.size
	c.mu.Unlock()
	if size := a.size(); size > c.with.maxMessage {
		a = tooLargeAnswer(&in.Envelope, size, c.with.maxMessage)
	}
	c.post(in.number, a)
}

// post queues an answer. A peer that lets them pile up is cut off.
func (c *conn) post(number uint64, a Answer) {
	size := a.size()
	c.mu.Lock()
	c.answers = append(c.answers, outAnswer{a, number, size})
	c.answerBytes += size
	full := c.answerBytes > c.t.cfg.MaxCallBytes+c.with.maxMessage
	c.mu.Unlock()
	if full {
		c.end(errNotReading)
	}
	c.signal()
}

// takeAnswer implements taker.
func (c *conn) takeAnswer(number uint64, a Answer) error {
	if c.asks == nil {
		return fmt.Errorf("%w: an answer against the direction of the connection", errGarbage)
	}
	c.asks.answered(number, a)
	return nil
}

// takeGoodbye implements taker.
func (c *conn) takeGoodbye() { c.parted.Store(true) }

// silent implements taker.
func (c *conn) silent() { c.t.cfg.Silent(c.with.peer) }

// broke tells, when the connection is over, that neither side meant it to end: the peer may be dead.
func (c *conn) broke() bool {
	for _, meant := range []error{errIdle, errNotReading, errGarbage, ErrClosed, ErrUnreachable} {
		if errors.Is(c.cause, meant) {
			return false
		}
	}
	return !c.parted.Load()
}

// takePart implements taker.
func (c *conn) takePart(p part) error {
	if p.kind == partOpen {
		return c.accept(p)
	}
	if s := c.streams.of(p.stream); s != nil {
		return s.receive(p)
	}
	return nil // it is over here already
}

// accept takes in a stream that the peer opens.
func (c *conn) accept(p part) error {
	if c.asks != nil || len(p.data)+len(p.subject) > MaxOpenBytes {
		return fmt.Errorf("%w: a stream against the direction of the connection, or a request of %d bytes for one", errGarbage, len(p.data))
	}
	s := newStream(p.stream, c.with.peer, p.subject, append([]byte(nil), p.data...), streamOf{c})
	s.credit = min(p.credit, maxCredit)
	ok, err := c.streams.accept(s, c.t.cfg.MaxStreams)
	h := c.t.handler()
	switch {
	case err != nil:
		return err
	case !ok || c.serving.Load() >= int64(c.t.cfg.MaxStreams):
		c.streams.remove(s.id)
		c.postPart(part{stream: p.stream, kind: partAbort, reason: fmt.Sprintf("busy: %s serves %d streams of this peer already", c.t.self, c.t.cfg.MaxStreams)})
	case h == nil:
		s.Abort("unavailable: the node is starting")
	default:
		c.postPart(part{stream: s.id, kind: partCredit, credit: StreamWindow})
		c.serving.Add(1)
		c.t.work.Go(func() {
			defer c.serving.Add(-1)
			serveStream(h, s)
		})
	}
	return nil
}

// streamOf carries the streams of a connection.
type streamOf struct{ c *conn }

func (l streamOf) post(p part)      { l.c.postPart(p) }
func (l streamOf) forget(id uint64) { l.c.streams.remove(id) }

// maxParts bounds the parts that wait to be written, of which each stream has its window.
const maxParts = 1 << 19

// postPart queues a part.
func (c *conn) postPart(p part) {
	c.mu.Lock()
	full := len(c.parts) >= maxParts
	if !full {
		c.parts = append(c.parts, p)
	}
	c.mu.Unlock()
	if full { // not by data: the peer opens streams and does not read what becomes of them
		c.medium.close()
	}
	c.signal()
}
