package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Refusal is any answer that is not a yes and that no repeat of the command will change.
type Refusal struct {
	Status int
	Code   string
	Reason string
	Remedy string
	// Body is the answer as it came, byte for byte.
	Body []byte
}

// Error implements error.
func (r *Refusal) Error() string {
	text := fmt.Sprintf("%d %s: %s", r.Status, r.Code, r.Reason)
	if r.Remedy != "" {
		text += " (" + r.Remedy + ")"
	}
	return text
}

// Rejected returns the code of the lot's own no, or "".
func Rejected(err error) string {
	var r *Refusal
	if errors.As(err, &r) && r.Status == http.StatusConflict {
		return r.Code
	}
	return ""
}

// passing tells whether the answer is about now and not about the command: it was not run, or nobody knows.
func (r *Refusal) passing() bool {
	switch r.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return r.Code == "skerry/unknown-outcome"
}

// maxReason limits what is shown of an answer that is no JSON.
const maxReason = 200

func readRefusal(status int, body []byte) *Refusal {
	var parsed struct{ Code, Reason, Remedy string }
	if err := json.Unmarshal(body, &parsed); err != nil || parsed.Code == "" {
		return &Refusal{Status: status, Code: "not-an-auction", Reason: string(body[:min(len(body), maxReason)]), Body: body}
	}
	return &Refusal{Status: status, Code: parsed.Code, Reason: parsed.Reason, Remedy: parsed.Remedy, Body: body}
}
