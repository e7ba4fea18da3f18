package stream

import (
	"context"
	"errors"
	"slices"
	"time"
)

// errTooFarBehind tells that a client must load everything anew.
var errTooFarBehind = errors.New("stream: too far behind")

// gap is what a client must read from the journal: the events of a shard up to an offset.
type gap struct {
	shard uint32
	upTo  uint64
	// record is a record at or behind that offset, where a search backwards may begin.
	record uint64
}

// join lets a client begin now; its position is where it begins.
func (h *hub) join(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.at = slices.Clone(h.at)
	h.enroll(c)
}

// resume lets a client go on at its position, and returns the batches that it has missed. Or else it
// returns the gaps before those, which the client fills before it tries again.
func (h *hub) resume(ctx context.Context, c *client, maxBehind int) (missed []*batch, gaps []gap, err error) {
	if err := h.await(ctx, c.at); err != nil {
		return nil, nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if events, _ := c.at.behind(h.at); events > uint64(maxBehind) {
		return nil, nil, errTooFarBehind
	}
	if gaps = h.gaps(c.at); len(gaps) > 0 {
		return nil, gaps, nil
	}
	h.enroll(c)
	for i, b := range h.kept {
		if c.at.missesAny(b.moves) {
			return slices.Clone(h.kept[i:]), nil, nil
		}
	}
	return nil, nil, nil
}

// await waits until the hub has reached a position. A token may be younger: what it comes from
// follows the logs as well, and may have been a moment faster.
func (h *hub) await(ctx context.Context, p position) error {
	late := time.NewTimer(tokenWait)
	defer late.Stop()
	for patient := false; ; {
		h.mu.Lock()
		_, ahead := p.behind(h.at)
		if !ahead {
			h.mu.Unlock()
			return nil
		}
		if h.moved == nil {
			h.moved = make(chan struct{})
		}
		moved := h.moved
		h.mu.Unlock()
		select {
		case <-moved:
		case <-late.C:
			if patient || !h.committed(p) {
				return errTooFarBehind // of a future that never came: a journal that was set back
			}
			patient = true // the stream itself is slow: to load everything anew would not help it
			late.Reset(slowWait)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// committed tells whether the logs reach as far as a position.
func (h *hub) committed(p position) bool {
	for shard, offset := range p {
		if head, _ := h.source.Head(uint32(shard)); head.NextOffset() <= offset {
			return false
		}
	}
	return true
}

// gaps lists the shards whose kept batches begin after a position.
func (h *hub) gaps(p position) []gap {
	var gaps []gap
	for shard := range p {
		if p[shard] < h.floor[shard] {
			gaps = append(gaps, gap{uint32(shard), h.at[shard], h.next[shard] - 1})
		}
	}
	return gaps
}

// enroll lets a client have what is published from now on; the caller holds the lock.
func (h *hub) enroll(c *client) {
	if len(c.topics) == 0 {
		h.everyone[c] = struct{}{}
		return
	}
	for _, topic := range c.topics {
		if h.topics[topic] == nil {
			h.topics[topic] = map[*client]struct{}{}
		}
		h.topics[topic][c] = struct{}{}
	}
}

// leave ends what enroll began. It may be called without it.
func (h *hub) leave(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.everyone, c)
	for _, topic := range c.topics {
		delete(h.topics[topic], c)
		if len(h.topics[topic]) == 0 {
			delete(h.topics, topic)
		}
	}
}

// positionOf returns how far a live client has been told of everything; false if something
// waits in its queue.
func (h *hub) positionOf(c *client) (token string, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !c.idle() {
		return "", false
	}
	return h.token(), true
}
