package stream

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/skerryhq/skerry/journal"
	apiv1 "github.com/skerryhq/skerry/proto/skerry/api/v1"
)

// wish is what a request asks for.
type wish struct {
	topics []string
	// resumes tells that the client has been here before, or has read a list; token is where it goes on.
	// A text that is no token gives the zero one, which fits no history.
	resumes bool
	token   journal.Token
}

// admit reads a request, and refuses what is no request for a stream.
func (s *Stream) admit(w http.ResponseWriter, r *http.Request) (wish, *refusal) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		return wish{}, refuse(http.StatusMethodNotAllowed, "skerry/method-not-allowed", "a stream is read with GET", "Use GET.")
	}
	if origin := r.Header.Get("Origin"); crosses(r, origin) {
		if !slices.Contains(s.cfg.Origins, origin) {
			return wish{}, refuse(http.StatusForbidden, "skerry/cross-origin", "a page of another origin asks for the stream", "Open it from a page of this server.")
		}
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Vary", "Origin")
	}
	topics, err := s.cfg.Topics(r)
	if err == nil && len(topics) > MaxTopics {
		err = fmt.Errorf("%d topics, at most %d are allowed", len(topics), MaxTopics)
	}
	if err != nil {
		return wish{}, refuse(http.StatusBadRequest, "skerry/malformed", err.Error(), "Correct the request.")
	}
	asked := wish{topics: topics}
	asked.token, asked.resumes = tokenOf(r)
	return asked, nil
}

// tokenOf returns where a request wants to go on. The header is younger than the URL: browsers
// keep the URL when they come back.
func tokenOf(r *http.Request) (token journal.Token, resumes bool) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("after")
	}
	if text == "" {
		return journal.Token{}, false
	}
	token, err := journal.ParseToken(text)
	if err != nil {
		return journal.Token{}, true
	}
	return token, true
}

// crosses tells whether a request comes from a page of another origin. Programs that are no
// browser name none.
func crosses(r *http.Request, origin string) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	case "":
	default:
		return true
	}
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || !strings.EqualFold(u.Host, r.Host)
}

// addressOf returns the address without its port.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// refusal is an answer that is no stream.
type refusal struct {
	status     int
	body       apiv1.Error
	retryAfter int // seconds; 0: not told
}

func refuse(status int, code, reason, remedy string) *refusal {
	return &refusal{status: status, body: apiv1.Error{Code: code, Reason: strings.ToValidUTF8(reason, "\ufffd"), Remedy: remedy}}
}

func (r *refusal) after(seconds int) *refusal {
	r.retryAfter = seconds
	return r
}

func (r *refusal) write(w http.ResponseWriter) {
	body, err := protojson.Marshal(&r.body)
	if err != nil {
		body = nil // it is made of valid strings only
	}
	if r.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(r.retryAfter))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.status)
	_, _ = w.Write(append(body, '\n')) // a client that is gone has no answer
}
