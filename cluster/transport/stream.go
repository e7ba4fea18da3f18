package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// ErrAborted is wrapped by the errors of a stream that its peer ended before it was done, or refused.
var ErrAborted = errors.New("transport: stream aborted")

// errStreamClosed is what Read and Write return after Close.
var errStreamClosed = errors.New("transport: stream closed")

// Stream carries bytes between two nodes in both directions: the tail of a shard that moves, records of a log. Who
// writes faster than the other reads waits, after [StreamWindow] bytes. One goroutine may read while another one writes;
// all other methods may be called concurrently.
type Stream struct {
	// Peer is the other side, Subject and Request say what the stream is for.
	Peer    Peer
	Subject string
	Request []byte

	id   uint64
	link streamLink

	mu      sync.Mutex
	changed *sync.Cond
	// in is what arrived and is not read yet, of inBytes bytes; owed is what was read and not credited yet.
	in      [][]byte
	inBytes int
	owed    int
	inEnded bool
	// credit is how much may still be written.
	credit   int
	outEnded bool
	// err is why the stream is over, if it did not end in both directions.
	err  error
	over chan struct{}
	// unbind frees the context that ends the stream, if there is one.
	unbind func() bool
}

// streamLink is what a stream is carried by. Its methods never block.
type streamLink interface {
	// post sends a part, after those before it.
	post(p part)
	// forget is called once, when the stream is over.
	forget(id uint64)
}

// part is a skerry.wire.v1.Part.
type part struct {
	stream  uint64
	kind    partKind
	subject string
	data    []byte
	credit  int
	reason  string
}

type partKind uint8

const (
	partOpen partKind = iota + 1
	partData
	partCredit
	partEnd
	partAbort
)

// chunkBytes is the most data of one part: what a command may have to wait for on its way.
const chunkBytes = 32 << 10

// partOverhead is what each part of data costs of the window beside its bytes, on both sides: many small
// ones hold memory too.
const partOverhead = 64

// maxCredit bounds what a peer may ask to be sent of one stream before it has read any.
const maxCredit = 4 * StreamWindow

func newStream(id uint64, peer Peer, subject string, request []byte, link streamLink) *Stream {
	s := &Stream{Peer: peer, Subject: subject, Request: request, id: id, link: link, over: make(chan struct{})}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// Read implements io.Reader. It returns io.EOF after all that the peer wrote, if the peer ended it as it should.
func (s *Stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.in) == 0 && !s.inEnded && s.err == nil && len(p) > 0 {
		s.changed.Wait()
	}
	switch {
	case len(p) == 0:
		return 0, nil
	case len(s.in) > 0 && (s.err == nil || s.inEnded):
		return s.take(p), nil
	case s.inEnded:
		return 0, io.EOF
	}
	return 0, s.err
}

// take copies what there is, and tells the peer from time to time how much more it may write.
func (s *Stream) take(p []byte) int {
	n := copy(p, s.in[0])
	freed := n
	if s.in[0] = s.in[0][n:]; len(s.in[0]) == 0 {
		s.in[0] = nil
		s.in = s.in[1:]
		freed += partOverhead
	}
	s.inBytes -= freed
	s.owed += freed
	if s.owed >= StreamWindow/4 && !s.inEnded && s.err == nil {
		s.link.post(part{stream: s.id, kind: partCredit, credit: s.owed})
		s.owed = 0
	}
	return n
}

// Write implements io.Writer. It returns when all of p is on its way.
func (s *Stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	written := 0
	for written < len(p) {
		for s.credit <= partOverhead && s.err == nil && !s.outEnded {
			s.changed.Wait()
		}
		switch {
		case s.err != nil:
			return written, s.err
		case s.outEnded:
			return written, errStreamClosed
		}
		n := min(len(p)-written, s.credit-partOverhead, chunkBytes)
		s.credit -= n + partOverhead
		s.link.post(part{stream: s.id, kind: partData, data: append([]byte(nil), p[written:written+n]...)})
		written += n
	}
	return written, nil
}

// CloseWrite tells the peer that nothing more is written: it reads io.EOF after what was.
func (s *Stream) CloseWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.outEnded:
		return nil
	case s.err != nil:
		return s.err
	}
	s.outEnded = true
	s.link.post(part{stream: s.id, kind: partEnd})
	s.changed.Broadcast()
	if s.inEnded {
		s.end(nil)
	}
	return nil
}

// Close ends the stream. Unless both sides have written all, it is aborted.
func (s *Stream) Close() error {
	s.Abort("closed")
	return nil
}

// Abort ends the stream in both directions and tells the peer why.
func (s *Stream) Abort(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isOver() {
		return
	}
	s.link.post(part{stream: s.id, kind: partAbort, reason: cut(reason)})
	s.end(errStreamClosed)
}

// bind ends the stream when ctx ends.
func (s *Stream) bind(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { s.Abort(context.Cause(ctx).Error()) })
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isOver() {
		stop()
		return
	}
	s.unbind = stop
}

// isOver is asked with the lock held.
func (s *Stream) isOver() bool {
	select {
	case <-s.over:
		return true
	default:
		return false
	}
}

// end makes the stream be over, with the lock held.
func (s *Stream) end(err error) {
	if s.isOver() {
		return
	}
	s.err = err
	close(s.over)
	if s.unbind != nil {
		s.unbind()
	}
	s.link.forget(s.id)
	s.changed.Broadcast()
}

// fail ends the stream as its carrier is gone.
func (s *Stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(fmt.Errorf("stream %q of %s: %w", s.Subject, s.Peer, err))
}

// receive takes in a part, whose data it does not keep. An error means that the peer breaks the protocol.
func (s *Stream) receive(p part) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isOver() {
		return nil
	}
	switch p.kind {
	case partData:
		return s.receiveData(p.data)
	case partCredit:
		if p.credit > maxCredit-s.credit {
			return fmt.Errorf("%w: credit of %d bytes for a stream", errGarbage, p.credit)
		}
		s.credit += p.credit
	case partEnd:
		s.inEnded = true
		if s.outEnded {
			s.end(nil)
		}
	case partAbort:
		s.end(fmt.Errorf("%w: %q of %s: %s", ErrAborted, s.Subject, s.Peer, p.reason))
	}
	s.changed.Broadcast()
	return nil
}

func (s *Stream) receiveData(data []byte) error {
	if s.inEnded || s.inBytes+s.owed+partOverhead+len(data) > StreamWindow {
		return fmt.Errorf("%w: data beyond the window or the end of a stream", errGarbage)
	}
	if len(data) > 0 {
		s.in = append(s.in, append([]byte(nil), data...))
		s.inBytes += partOverhead + len(data)
		s.changed.Broadcast()
	}
	return nil
}
