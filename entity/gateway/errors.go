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

// MethodNotAllowed is the error of a request by another method than GET.
func MethodNotAllowed(method string) error {
	return allow(method, "this", http.MethodGet, http.MethodHead)
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
	return errorOf(resp, &body)
}

func errorOf(resp *http.Response, body *apiv1.Error) error {
	kind, ok := map[string]error{
		codeBusy: entity.ErrBusy, codeUnavailable: entity.ErrUnavailable,
		codeUnknown: entity.ErrUnknownOutcome, codeFailed: entity.ErrFailed,
	}[body.GetCode()]
	if ok {
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return &entity.Error{Kind: kind, Reason: body.GetReason(), RetryAfter: time.Duration(seconds) * time.Second}
	}
	message := body.GetReason()
	if len(body.GetKnown()) > 0 {
		message += " (known: " + strings.Join(body.GetKnown(), ", ") + ")"
	}
	return &entity.Rejection{Code: body.GetCode(), Message: message, Version: body.GetVersion()}
}
