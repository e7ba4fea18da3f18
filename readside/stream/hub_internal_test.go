package stream

import (
	"context"
	"testing"

	"github.com/skerryhq/skerry/journal"
)

func (still) Head(uint32) (journal.Header, bool) { return journal.Header{}, true }
func (still) Watch(func(uint32)) func()          { return func() {} }

func clientOf(cfg *Config, topics ...string) *client {
	_, cancel := context.WithCancelCause(context.Background())
	return &client{cfg: cfg, topics: topics, out: &writer{}, cancel: cancel, signal: make(chan struct{}, 1)}
}

func TestAClientThatHasLeftIsForgotten(t *testing.T) {
	t.Parallel()
	cfg := &Config{Source: still{}, MaxQueue: 1, MaxQueueBytes: 1}
	h := startHub(*cfg, newRenderer(*cfg))
	defer h.stop()
	some, other, all := clientOf(cfg, "a", "b"), clientOf(cfg, "b"), clientOf(cfg)
	for _, c := range []*client{some, other, all} {
		h.join(c)
	}
	h.leave(some)
	if len(h.topics) != 1 || len(h.topics["b"]) != 1 || len(h.everyone) != 1 {
		t.Errorf("%v, %v", h.topics, h.everyone)
	}
	h.leave(other)
	h.leave(all)
	h.leave(all)
	if len(h.topics) != 0 || len(h.everyone) != 0 {
		t.Errorf("%v, %v", h.topics, h.everyone)
	}
}

// A mark beyond what waits in the queue would lose it, if the client were cut now.
func TestTheMarkOfAClientIsNotMovedPastItsQueue(t *testing.T) {
	t.Parallel()
	cfg := &Config{Source: still{}, MaxQueue: 1, MaxQueueBytes: 1}
	h := startHub(*cfg, newRenderer(*cfg))
	defer h.stop()
	c := clientOf(cfg)
	h.join(c)
	if mark, ok := h.positionOf(c); !ok || mark != "h1." {
		t.Errorf("%q, %v", mark, ok)
	}
	c.push(&batch{seq: 1, bytes: 2})
	if mark, ok := h.positionOf(c); ok || mark != "" {
		t.Errorf("with a message in its queue it is told %q", mark)
	}
	c.take()
	if mark, ok := h.positionOf(c); !ok || mark != "h1." {
		t.Errorf("%q, %v", mark, ok)
	}
}
