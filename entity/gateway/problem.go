package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/skerryhq/skerry/entity"
	apiv1 "github.com/skerryhq/skerry/proto/skerry/api/v1"
)

// Codes of errors that are no entity's rejection. Those of entity's own rejections
// are used where they fit.
const (
	codeMalformed       = "skerry/malformed"
	codeTooLarge        = "skerry/too-large"
	codeUnknownType     = "skerry/unknown-type"
	codeUnknownCommand  = "skerry/unknown-command"
	codeVersionMismatch = "skerry/version-mismatch"
	codeKeyReused       = "skerry/key-reused"
	codeNotFound        = "skerry/not-found"
	codeMethod          = "skerry/method-not-allowed"
	codeMediaType       = "skerry/unsupported-media-type"
	codeUnauthenticated = "skerry/unauthenticated"
	codeCrossOrigin     = "skerry/cross-origin"
	codeTimeout         = "skerry/timeout"
	codeBusy            = "skerry/busy"
	codeUnavailable     = "skerry/unavailable"
	codeUnknown         = "skerry/unknown-outcome"
	codeFailed          = "skerry/failed"
	codeRunning         = "skerry/running"
	codeNotKnown        = "skerry/not-known"
)

// problem is an answer that is no reply, as HTTP sees it. It is an error.
type problem struct {
	status     int
	body       *apiv1.Error
	retryAfter time.Duration // told if the status asks for it
	allow      string
}

func (p *problem) Error() string { return p.body.GetCode() + ": " + p.body.GetReason() }

// refuse makes a problem. A reason may quote what a client sent, so it is made valid UTF-8.
func refuse(status int, code, format string, args ...any) *problem {
	return &problem{status: status, body: &apiv1.Error{Code: valid(code), Reason: valid(fmt.Sprintf(format, args...))}}
}

// valid makes a text one that protobuf takes.
func valid(text string) string { return strings.ToValidUTF8(text, "\ufffd") }

func (p *problem) remedied(remedy string) *problem {
	p.body.Remedy = remedy
	return p
}

func malformed(format string, args ...any) *problem {
	return refuse(http.StatusBadRequest, codeMalformed, format, args...).remedied(remedyMalformed)
}

func tooLarge(limit int) *problem {
	return refuse(http.StatusRequestEntityTooLarge, codeTooLarge, "the body is larger than %d bytes", limit).
		remedied("Send less in one command.")
}

// defect is a fault of ours after the command was done.
func defect(format string, args ...any) *problem {
	return refuse(http.StatusInternalServerError, codeUnknown, format, args...).remedied(remedyUnknown)
}

const remedyMalformed = "Correct the request; the same one gets the same answer."

const remedyUnknown = "Send it again with the same Idempotency-Key: it gets its first answer, or runs once. Without a key, look at the entity first."

// ruling is what HTTP makes of one of the runtime's rejections.
type ruling struct {
	status int
	remedy string
}

var rulings = map[string]ruling{
	codeMalformed:       {http.StatusBadRequest, remedyMalformed},
	codeTooLarge:        {http.StatusRequestEntityTooLarge, "Send less in one command."},
	codeUnknownType:     {http.StatusNotFound, "See GET " + root + " for what there is."},
	codeUnknownCommand:  {http.StatusNotFound, "See GET " + root + " for what there is."},
	codeNotFound:        {http.StatusNotFound, "Ask for something that there is."},
	codeVersionMismatch: {http.StatusPreconditionFailed, "Look at the entity, decide anew, and expect its current version."},
	codeKeyReused:       {http.StatusUnprocessableEntity, "Give each command a key of its own; repeat one only with the same body."},
}

// What to do about an entity's own "no". One to a command with a key was stored with the key.
const (
	remedyRejection      = "The entity said no. Sent again, the command is decided anew."
	remedyKeyedRejection = "The entity said no. The same command with the same key gets the same answer."
)

// problemOf tells what HTTP says to an error of a Caller.
func problemOf(err error) *problem {
	var p *problem
	var no *entity.Rejection
	var e *entity.Error
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &no):
		return ofRejection(no)
	case errors.As(err, &e):
		p = ofKind(e.Kind, e.Reason)
		p.retryAfter = e.RetryAfter
		return p
	}
	// A Caller that breaks its promise may have sent the command.
	p = ofKind(entity.ErrUnknownOutcome, err.Error())
	p.status = http.StatusInternalServerError
	return p
}

func ofRejection(no *entity.Rejection) *problem {
	rule, ok := rulings[no.Code]
	if !ok {
		rule = ruling{http.StatusConflict, remedyRejection}
	}
	p := refuse(rule.status, no.Code, "%s", no.Message).remedied(rule.remedy)
	if no.Version > 0 || no.Code == codeVersionMismatch {
		p.body.Version = &no.Version
	}
	return p
}

// ofCall is the error of a call, with the remedy for a rejection that was stored with a key, if keyed.
func ofCall(err error, keyed bool) error {
	var no *entity.Rejection
	if !keyed || !errors.As(err, &no) {
		return err
	}
	p := ofRejection(no)
	if p.body.GetRemedy() == remedyRejection {
		p.body.Remedy = remedyKeyedRejection
	}
	return p
}

func ofKind(kind error, reason string) *problem {
	switch {
	case errors.Is(kind, entity.ErrBusy):
		return refuse(http.StatusTooManyRequests, codeBusy, "%s", reason).
			remedied("It did not run. Send it again after the time in Retry-After, and fewer at once.")
	case errors.Is(kind, entity.ErrUnavailable):
		return refuse(http.StatusServiceUnavailable, codeUnavailable, "%s", reason).
			remedied("It did not run. Send it again after the time in Retry-After.")
	case errors.Is(kind, entity.ErrFailed):
		return refuse(http.StatusInternalServerError, codeFailed, "%s", reason).
			remedied("Nothing was stored. It is a defect of the service: sending it again fails again.")
	case errors.Is(kind, entity.ErrRunning):
		return refuse(http.StatusAccepted, codeRunning, "%s", orKind(reason, kind)).
			remedied("Ask again after the time in Retry-After.")
	case errors.Is(kind, entity.ErrNotKnown):
		return refuse(http.StatusNotFound, codeNotKnown, "%s", orKind(reason, kind)).
			remedied("The command never came, or its answer is forgotten. Sending it again with its key is safe only within 120 s of the first sending.")
	}
	return refuse(http.StatusGatewayTimeout, codeUnknown, "%s", reason).remedied(remedyUnknown)
}

func orKind(reason string, kind error) string {
	if reason == "" {
		return kind.Error()
	}
	return reason
}

func (p *problem) write(w http.ResponseWriter) {
	h := w.Header()
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	switch p.status {
	case http.StatusAccepted, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(retrySeconds(p.retryAfter)))
	}
	if p.body.Version != nil {
		h.Set("ETag", etag(p.body.GetVersion()))
	}
	if err := writeMessage(w, p.status, p.body, sparing); err != nil {
		http.Error(w, p.body.GetCode(), p.status)
	}
}

// retrySeconds is at least one: a header in seconds cannot say less.
func retrySeconds(d time.Duration) int {
	return max(int((d+time.Second-1)/time.Second), 1)
}
