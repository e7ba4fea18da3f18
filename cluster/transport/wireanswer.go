package transport

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// Field numbers of skerry.wire.v1.Answer and what is in it.
const (
	answerNumber    = 1
	answerReply     = 2
	answerRejection = 3
	answerFailure   = 4
	answerMoved     = 5

	replyPayload  = 1
	replyVersion  = 2
	replyToken    = 3
	replyRepeated = 4

	rejectionCode    = 1
	rejectionMessage = 2
	rejectionVersion = 3

	failureKind       = 1
	failureReason     = 2
	failureRetryAfter = 3

	movedShard  = 1
	movedNode   = 2
	movedEpoch  = 3
	movedReason = 4
)

// kinds are the failures that have a name on the wire.
var kinds = []struct {
	kind  error
	named wirev1.FailureKind
}{
	{entity.ErrUnavailable, wirev1.FailureKind_FAILURE_KIND_UNAVAILABLE},
	{entity.ErrBusy, wirev1.FailureKind_FAILURE_KIND_BUSY},
	{entity.ErrUnknownOutcome, wirev1.FailureKind_FAILURE_KIND_UNKNOWN_OUTCOME},
	{entity.ErrFailed, wirev1.FailureKind_FAILURE_KIND_FAILED},
	{entity.ErrRunning, wirev1.FailureKind_FAILURE_KIND_RUNNING},
	{entity.ErrNotKnown, wirev1.FailureKind_FAILURE_KIND_NOT_KNOWN},
}

// size is about the encoded size.
func (a *Answer) size() int {
	if a.Err == nil && a.Response != nil {
		return answerOverhead + len(a.Response.Payload) + len(a.Response.Receipt.Token.Offsets)*15
	}
	return answerOverhead + maxReason // what is said of an error is cut to that
}

const (
	// answerOverhead is more than a reply with nothing in it needs.
	answerOverhead = 128
	// maxReason bounds each text of an answer that is not a reply, in bytes.
	maxReason = 4 << 10
)

func appendAnswer(b []byte, number uint64, a *Answer) []byte {
	b = appendUint(b, answerNumber, number)
	if a.Err != nil {
		return appendError(b, a.Err)
	}
	return appendNested(b, answerReply, func(b []byte) []byte {
		r := a.Response
		if r == nil {
			return b
		}
		b = appendBytes(b, replyPayload, r.Payload)
		b = appendUint(b, replyVersion, r.Receipt.Version)
		b = appendToken(b, replyToken, r.Receipt.Token)
		return appendBool(b, replyRepeated, r.Receipt.Repeated)
	})
}

// appendError takes an error without a kind for an unknown outcome: whoever breaks the promise of Answer.Err may have run the command.
func appendError(b []byte, err error) []byte {
	var moved *Moved
	var no *entity.Rejection
	failure := &entity.Error{Kind: entity.ErrUnknownOutcome, Reason: err.Error()}
	switch {
	case errors.As(err, &moved):
		return appendNested(b, answerMoved, func(b []byte) []byte {
			b = appendUint(b, movedShard, uint64(moved.Shard))
			b = appendText(b, movedNode, cut(moved.Node))
			b = appendUint(b, movedEpoch, moved.Epoch)
			return appendText(b, movedReason, cut(moved.Reason))
		})
	case errors.As(err, &no):
		return appendNested(b, answerRejection, func(b []byte) []byte {
			b = appendText(b, rejectionCode, cut(no.Code))
			b = appendText(b, rejectionMessage, cut(no.Message))
			return appendUint(b, rejectionVersion, no.Version)
		})
	}
	errors.As(err, &failure)
	return appendFailure(b, failure)
}

func appendFailure(b []byte, e *entity.Error) []byte {
	named := wirev1.FailureKind_FAILURE_KIND_UNKNOWN_OUTCOME
	for _, k := range kinds {
		if k.kind == e.Kind { //nolint:errorlint // the sentinel itself: ErrBusy is also an ErrUnavailable
			named = k.named
		}
	}
	return appendNested(b, answerFailure, func(b []byte) []byte {
		b = appendUint(b, failureKind, uint64(named))
		b = appendText(b, failureReason, cut(e.Reason))
		return appendUint(b, failureRetryAfter, uint64(max(e.RetryAfter, 0)))
	})
}

// cut bounds a text for people.
func cut(s string) string {
	if len(s) <= maxReason {
		return s
	}
	return s[:maxReason-3] + "..."
}

// parseAnswer reads an answer, which keeps nothing of b. One that cannot be understood tells nothing of what became of
// the envelope; an error says that b is no message.
func parseAnswer(b []byte, known names) (number uint64, a Answer, err error) {
	c := cursor{rest: b}
	for c.next() {
		switch c.number {
		case answerNumber:
			number = c.value
		case answerReply:
			a = parseReply(c.bytes, known)
		case answerRejection:
			a = parseRejection(c.bytes, known)
		case answerFailure:
			a = parseFailure(c.bytes)
		case answerMoved:
			a = parseMoved(c.bytes, known)
		}
	}
	if a == (Answer{}) {
		a = lost("the answer is of a kind that this node does not know: it is of an older release than its peer")
	}
	return number, a, c.err
}

// parseReply makes a reply with one allocation beside its payload: every command pays for it.
func parseReply(b []byte, known names) Answer {
	r := &struct {
		entity.Response
		offsets [1]journal.ShardOffset
	}{}
	var wrong string
	c := cursor{rest: b}
	for c.next() {
		switch c.number {
		case replyPayload:
			r.Payload = bytes.Clone(c.bytes)
		case replyVersion:
			r.Receipt.Version = c.value
		case replyToken:
			r.Receipt.Token.Offsets = r.offsets[:0]
			wrong = parseTokenInto(&r.Receipt.Token, c.bytes, known)
		case replyRepeated:
			r.Receipt.Repeated = c.value != 0
		}
	}
	if c.err != nil || wrong != "" {
		return lost("the reply cannot be read: %s", first(wrong, fmt.Sprint(c.err)))
	}
	return Answer{Response: &r.Response}
}

func parseRejection(b []byte, known names) Answer {
	no := &entity.Rejection{}
	c := cursor{rest: b}
	for c.next() {
		switch c.number {
		case rejectionCode:
			no.Code = known.of(c.bytes)
		case rejectionMessage:
			no.Message = string(c.bytes)
		case rejectionVersion:
			no.Version = c.value
		}
	}
	if c.err != nil || no.Code == "" {
		return lost("a rejection without a code, or that cannot be read")
	}
	return Answer{Err: no}
}

func parseFailure(b []byte) Answer {
	e := &entity.Error{Kind: entity.ErrUnknownOutcome}
	c := cursor{rest: b}
	for c.next() {
		switch c.number {
		case failureKind:
			for _, k := range kinds {
				if uint64(k.named) == c.value { //nolint:gosec // never negative
					e.Kind = k.kind
				}
			}
		case failureReason:
			e.Reason = string(c.bytes)
		case failureRetryAfter:
			e.RetryAfter = time.Duration(min(c.value, uint64(maxRemaining)))
		}
	}
	if c.err != nil {
		return lost("a failure that cannot be read")
	}
	return Answer{Err: e}
}

func parseMoved(b []byte, known names) Answer {
	m := &Moved{}
	c := cursor{rest: b}
	for c.next() {
		switch c.number {
		case movedShard:
			m.Shard = uint32(min(c.value, math.MaxUint32)) //nolint:gosec // bounded
		case movedNode:
			m.Node = known.of(c.bytes)
		case movedEpoch:
			m.Epoch = c.value
		case movedReason:
			m.Reason = string(c.bytes)
		}
	}
	if c.err != nil {
		return lost("an answer that it moved, which cannot be read")
	}
	return Answer{Err: m}
}
