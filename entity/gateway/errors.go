package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity"
	apiv1 "github.com/skerryhq/skerry/proto/skerry/api/v1"
)

// WriteError answers a request with an error as the gateway does: the status
// for its kind, and JSON with code, reason and remedy. err is one of a
// [entity.Caller].
func WriteError(w http.ResponseWriter, err error) { problemOf(err).write(w) }

// WriteMessage answers a request with a message as JSON, zero fields included. The
// same message gives the same bytes.
func WriteMessage(w http.ResponseWriter, msg proto.Message) {
	if err := writeMessage(w, http.StatusOK, msg, complete); err != nil {
		WriteError(w, err)
	}
}

// NotFound is the rejection of a request for something that does not exist. known
// is what does.
func NotFound(known []string, format string, args ...any) error {
	p := refuse(http.StatusNotFound, codeNotFound, format, args...).remedied("Use one of those in known.")
	p.body.Known = known
	return p
}

// MethodNotAllowed is the error of a request by another method than those allowed; without
// any, than GET.
func MethodNotAllowed(method string, allowed ...string) error {
	if len(allowed) == 0 {
		allowed = []string{http.MethodGet, http.MethodHead}
	}
	return allow(method, "this", allowed...)
}

// maxErrorBytes limits what a client reads of an error.
const maxErrorBytes = 64 << 10

// ReadError is the other side of [WriteError]: it returns the error that a
// response carries as the [entity.Caller] returned it, a *[entity.Rejection] or
// an *[entity.Error]; nil for a response that carries none. It reads the body of an error but does not close it.
func ReadError(resp *http.Response) error {
	if resp.StatusCode < http.StatusMultipleChoices {
		return nil
	}
	var body apiv1.Error
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes))
	if err == nil {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(text, &body)
	}
	if err != nil || body.GetCode() == "" {
		return &entity.Error{Kind: entity.ErrUnknownOutcome, Reason: fmt.Sprintf("%s from something that is no Skerry service", resp.Status)}
	}
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return errorOf(&body, time.Duration(seconds)*time.Second)
}

// kindOfCode tells the codes that are no rejection.
var kindOfCode = map[string]error{
	codeBusy: entity.ErrBusy, codeUnavailable: entity.ErrUnavailable, codeUnknown: entity.ErrUnknownOutcome,
	codeTimeout: entity.ErrUnavailable, codeFailed: entity.ErrFailed, codeRunning: entity.ErrRunning, codeNotKnown: entity.ErrNotKnown,
}

func errorOf(body *apiv1.Error, retryAfter time.Duration) error {
	if kind, ok := kindOfCode[body.GetCode()]; ok {
		return &entity.Error{Kind: kind, Reason: body.GetReason(), RetryAfter: max(retryAfter, 0)}
	}
	return &entity.Rejection{Code: body.GetCode(), Message: reasonOf(body), Version: body.GetVersion()}
}

// reasonOf is what a program's user is told, with what exists instead.
func reasonOf(body *apiv1.Error) string {
	if len(body.GetKnown()) == 0 {
		return body.GetReason()
	}
	return body.GetReason() + " (known: " + strings.Join(body.GetKnown(), ", ") + ")"
}
