package transport

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/skerryhq/skerry/entity"
)

// Moved answers that the envelope did not run here, as the shard has another owner. Only the caller's
// node sees it: it sends the command there, and no caller is ever shown a Moved.
type Moved struct {
	Shard uint32
	// Node is the process that wrote the newest claim and Epoch the claim's; empty and 0 if that is not known.
	Node  string
	Epoch uint64
	// Reason is for people.
	Reason string
}

// Error implements error.
func (m *Moved) Error() string {
	return fmt.Sprintf("shard %d has moved to %q with epoch %d: %s", m.Shard, m.Node, m.Epoch, m.Reason)
}

// Causes of errors by the transport itself, for errors.Is. They tell what a peer's own answer never says.
var (
	// ErrUnreachable: no connection to the peer, so that nothing was sent. Another node may reach it.
	ErrUnreachable = errors.New("transport: peer unreachable")
	// ErrLost: the connection ended, or time was over, after the envelope was written.
	ErrLost = errors.New("transport: answer lost")
	// ErrGone is an ErrUnreachable: the process has ended, as nothing listens at its address or another process does.
	ErrGone = fmt.Errorf("%w: it has ended", ErrUnreachable)
	// ErrRefused is an ErrUnreachable: one side refuses the other, as they are not of one cluster.
	ErrRefused = fmt.Errorf("%w: refused", ErrUnreachable)
	// ErrClosed: the transport was closed.
	ErrClosed = errors.New("transport: closed")
)

// notSent answers for an envelope that was never written to a peer.
func notSent(cause error, after time.Duration, format string, args ...any) Answer {
	return Answer{Err: &entity.Error{Kind: entity.ErrUnavailable, Reason: fmt.Sprintf(format, args...), RetryAfter: after, Cause: cause}}
}

// busyAfter is when to come back to a full queue.
const busyAfter = 50 * time.Millisecond

// busy answers for an envelope that finds no room.
func busy(format string, args ...any) Answer {
	return Answer{Err: &entity.Error{Kind: entity.ErrBusy, Reason: fmt.Sprintf(format, args...), RetryAfter: busyAfter}}
}

// lost answers for an envelope that was written and whose answer will not come.
func lost(format string, args ...any) Answer {
	return Answer{Err: &entity.Error{Kind: entity.ErrUnknownOutcome, Reason: fmt.Sprintf(format, args...), Cause: ErrLost}}
}

// refusal answers what can never be taken, with the code of one of the runtime's rejections.
func refusal(kind error, format string, args ...any) Answer {
	var no *entity.Rejection
	if !errors.As(kind, &no) {
		return lost(format, args...)
	}
	return Answer{Err: &entity.Rejection{Code: no.Code, Message: fmt.Sprintf(format, args...)}}
}

// answeredFlag lets one answer through.
type answeredFlag struct{ done atomic.Bool }

func (f *answeredFlag) set() bool { return f.done.CompareAndSwap(false, true) }

// tooLarge answers for an envelope that its peer would not take.
func tooLarge(size, limit int) Answer {
	return refusal(entity.ErrTooLarge, "the command has about %d bytes on its way to its node; at most %d are taken", size, limit)
}

// tooLargeAnswer replaces an answer that the sender would not take. A command has run; a query stored nothing.
func tooLargeAnswer(e *Envelope, size, limit int) Answer {
	kind := entity.ErrUnknownOutcome
	if e.Request.Query || e.Request.Lookup {
		kind = entity.ErrFailed
	}
	return Answer{Err: &entity.Error{Kind: kind, Reason: fmt.Sprintf("the answer has about %d bytes; nodes send each other at most %d (MaxMessageBytes)", size, limit)}}
}

// refusalOfEnvelope answers for an envelope that cannot be understood.
func refusalOfEnvelope(wrong string) Answer {
	return refusal(entity.ErrMalformed, "the envelope cannot be understood: %s", wrong)
}
