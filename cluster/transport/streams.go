package transport

import (
	"context"
	"fmt"
	"sync"
)

// streams are those of one connection.
type streams struct {
	mu   sync.Mutex
	open map[uint64]*Stream
	next uint64
	// gone is why no more are opened.
	gone error
}

// add opens a stream from this side. The error is why it cannot.
func (t *streams) add(s *Stream, limit int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.gone != nil:
		return t.gone
	case len(t.open) >= limit:
		return fmt.Errorf("%w: %d streams to %s are open, the limit", ErrAborted, len(t.open), s.Peer)
	}
	t.next++
	s.id = t.next
	t.put(s)
	return nil
}

func (t *streams) put(s *Stream) {
	if t.open == nil {
		t.open = map[uint64]*Stream{}
	}
	t.open[s.id] = s
}

// accept takes in a stream that the peer opens. It returns false if there are too many, and an error if
// the peer breaks the protocol.
func (t *streams) accept(s *Stream, limit int) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case s.id <= t.next:
		return false, fmt.Errorf("%w: stream %d is opened after stream %d", errGarbage, s.id, t.next)
	case t.gone != nil:
		return false, t.gone
	}
	t.next = s.id
	if len(t.open) >= limit {
		return false, nil
	}
	t.put(s)
	return true, nil
}

func (t *streams) of(id uint64) *Stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open[id]
}

func (t *streams) remove(id uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, id)
}

func (t *streams) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}

// fail ends all streams.
func (t *streams) fail(err error) {
	t.mu.Lock()
	var all []*Stream
	for _, s := range t.open {
		all = append(all, s)
	}
	t.gone = err
	t.mu.Unlock()
	for _, s := range all {
		s.fail(err)
	}
}

// serveStream lets a handler serve a stream, to its end.
func serveStream(h Handler, s *Stream) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	go func() {
		defer cancel()
		select {
		case <-s.over:
		case <-done:
		}
	}()
	if err := h.Accept(ctx, s); err != nil {
		s.Abort(err.Error())
		return
	}
	_ = s.CloseWrite() // whoever is gone does not miss it
	s.discard()
}

// discard ends a stream whose peer may still be writing, though nobody reads it any more.
func (s *Stream) discard() {
	s.mu.Lock()
	ended := s.inEnded
	s.mu.Unlock()
	if !ended {
		s.Abort("served")
	}
}
