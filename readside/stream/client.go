package stream

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Why a stream ends, beside the client's going.
var (
	errSlow    = errors.New("stream: the client is too slow")
	errStopped = errors.New("stream: stopped")
)

// client is one open stream. The hub fills its queue; the goroutine of its request empties it.
type client struct {
	cfg     *Config
	address string
	topics  []string // none: all of them
	out     *writer
	cancel  context.CancelCauseFunc
	// at is how far the client has been told of everything, until it is live: from then on
	// that is the hub's matter.
	at position

	mu     sync.Mutex
	ended  bool
	queue  []*batch
	bytes  int // of the queue
	last   uint64
	signal chan struct{} // holds one signal while the queue is not empty
}

// push queues a batch, once. A client whose queue is full is cut off.
func (c *client) push(b *batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.last == b.seq {
		return
	}
	c.last = b.seq
	if len(c.queue) == c.cfg.MaxQueue || len(c.queue) > 0 && c.bytes+b.bytes > c.cfg.MaxQueueBytes {
		c.end(errSlow)
		return
	}
	c.queue = append(c.queue, b)
	c.bytes += b.bytes
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

// stop ends the stream from outside, even in the midst of a write.
func (c *client) stop(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(why)
}

// end is stop for those who hold the lock.
func (c *client) end(why error) {
	c.ended = true
	c.queue, c.bytes = nil, 0
	c.cancel(why)
	c.out.interrupt()
}

// take removes what makes the next message from the queue.
func (c *client) take() []*batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := portion(c.queue)
	taken := slices.Clone(c.queue[:n])
	c.queue = slices.Delete(c.queue, 0, n)
	for _, b := range taken {
		c.bytes -= b.bytes
	}
	return taken
}

// idle tells whether nothing waits in the queue.
func (c *client) idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue) == 0
}

// portion is how many batches make one message: at least one, if there is any.
func portion(batches []*batch) (n int) {
	bytes := 0
	for n < len(batches) && (n == 0 || bytes+batches[n].bytes <= maxMessageBytes) {
		bytes += batches[n].bytes
		n++
	}
	return n
}

// wants tells whether a fragment is for this client.
func (c *client) wants(f *fragment) bool {
	return len(c.topics) == 0 || f.topic == "" || slices.Contains(c.topics, f.topic)
}

// live sends what is published, until ctx ends or a write fails.
func (c *client) live(ctx context.Context, h *hub) error {
	ping := time.NewTimer(c.cfg.PingEvery)
	defer ping.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.signal:
			for batches := c.take(); len(batches) > 0; batches = c.take() {
				if err := c.out.message(batches[len(batches)-1].id, batches, c.wants); err != nil {
					return err
				}
			}
		case <-ping.C:
			token, _ := h.positionOf(c)
			if err := c.out.ping(token); err != nil {
				return err
			}
		}
		ping.Reset(c.cfg.PingEvery)
	}
}

// tell sends batches to a client that is not live yet: only what is news to it, with ids of its own.
func (c *client) tell(ctx context.Context, history string, batches []*batch) error {
	for len(batches) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n := portion(batches)
		before := slices.Clone(c.at)
		for _, b := range batches[:n] {
			c.at.move(b.moves)
		}
		news := func(f *fragment) bool { return f.offset > before[f.shard] && c.wants(f) }
		if err := c.out.message(c.at.text(history), batches[:n], news); err != nil {
			return err
		}
		batches = batches[n:]
	}
	return nil
}
