package entity

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/skerryhq/skerry/entity/internal/shard"
)

// A command ends in one of five ways: with its reply, or with an error of one
// of these kinds. They tell the caller what to do next.
var (
	// ErrUnavailable: the command did not run and will not. Try again when you
	// like; Error.RetryAfter says when it is worth it.
	ErrUnavailable = errors.New("unavailable")

	// ErrBusy is an ErrUnavailable: a queue or window is full.
	ErrBusy = fmt.Errorf("busy: %w", ErrUnavailable)

	// ErrUnknownOutcome: the command may have run or may still run. Sending it
	// again with the same key is safe and tells.
	ErrUnknownOutcome = errors.New("unknown outcome")

	// ErrFailed: the handler panicked or broke a rule, or the entity cannot be
	// recovered. Nothing was stored; a blind retry fails again.
	ErrFailed = errors.New("failed")
)

// Asked for the answer of an earlier command, an entity may also say one of these.
var (
	// ErrRunning: the command is under way; ask again.
	ErrRunning = errors.New("still running")

	// ErrNotKnown: the entity remembers no answer under that key. The command was never
	// stored, or its answer is forgotten by now. Sending it again is safe only within the
	// guarantee of [Key], counted from the first sending.
	ErrNotKnown = errors.New("not known")
)

// Error is an answer that is neither a reply nor a rejection.
type Error struct {
	// Kind is ErrUnavailable, ErrBusy, ErrUnknownOutcome or ErrFailed; asked for a stored answer also
	// ErrRunning or ErrNotKnown.
	Kind error
	// Reason names what happened, where, and the remedy.
	Reason string
	// RetryAfter is how long to wait before the next try; 0 if nothing is known.
	RetryAfter time.Duration
	// Cause is what led to it, such as a context's error; it may be nil.
	Cause error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Reason == "" {
		return e.Kind.Error()
	}
	return e.Kind.Error() + ": " + e.Reason
}

// Unwrap returns the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// Rejection is the entity's "no", or the runtime's on a request that can never be taken.
// It is final: the same command gets the same answer again.
type Rejection struct {
	// Code is for programs. Those of the runtime begin with "skerry/".
	Code string
	// Message is for people.
	Message string
	// Version is the entity's version when it said no.
	Version uint64
}

// Rejections by the runtime, for errors.Is.
var (
	// ErrVersionMismatch: IfVersion named another version than the entity's;
	// Rejection.Version is the current one.
	ErrVersionMismatch error = versionMismatch
	// ErrKeyReused: the key was given before with another command.
	ErrKeyReused error = keyReused
	// ErrTooLarge: the command, or what it would store, is over the limit.
	ErrTooLarge error = tooLarge
	// ErrMalformed: the payload, the id or the key cannot be read or is not allowed.
	ErrMalformed error = malformed
	// ErrUnknownType: this service defines no entity of that type.
	ErrUnknownType error = unknownType
	// ErrUnknownCommand: the entity's type answers no such command.
	ErrUnknownCommand error = unknownCmd
)

var (
	versionMismatch = &Rejection{Code: shard.CodeVersionMismatch}
	keyReused       = &Rejection{Code: shard.CodeKeyReused}
	tooLarge        = &Rejection{Code: shard.CodeTooLarge}
	malformed       = &Rejection{Code: "skerry/malformed"}
	unknownType     = &Rejection{Code: "skerry/unknown-type"}
	unknownCmd      = &Rejection{Code: "skerry/unknown-command"}
)

const reservedCode = "skerry/"

// Reject returns the error with which a handler says no. Nothing happens to the
// entity. A code is a short constant, for programs; it must not begin with
// "skerry/". The rest is formatted as by fmt.Sprintf, for people.
func Reject(code, format string, args ...any) error {
	if code == "" || strings.HasPrefix(code, reservedCode) {
		panic(fmt.Sprintf("entity: Reject with the code %q: use a code of your own, not empty and without %q in front", code, reservedCode))
	}
	return &Rejection{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Error implements error.
func (r *Rejection) Error() string { return "rejected (" + r.Code + "): " + r.Message }

// Is reports whether target is a rejection that names the same code and no message.
func (r *Rejection) Is(target error) bool {
	t, ok := target.(*Rejection)
	return ok && t.Code == r.Code && t.Message == ""
}

// refuse returns a rejection by the runtime.
func refuse(kind *Rejection, format string, args ...any) error {
	return &Rejection{Code: kind.Code, Message: fmt.Sprintf(format, args...)}
}
