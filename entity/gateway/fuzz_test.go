package gateway_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Whatever is sent, the answer is JSON and no fault of ours.
func FuzzRequest(f *testing.F) {
	f.Add("POST", "/v1/entities/timer/7/Timer", "", `{"name":"n"}`, "k", `"7"`, "2s")
	f.Add("POST", "/v1/entities/timer/a%2Fb/Timer", "", `{"due":"2030-01-01T00:00:00Z"}`, `"k\""`, `W/"7"`, "-1")
	f.Add("GET", "/v1/entities/timer/7/FieldDescriptorProto", "name=a&number=1", "", "", "", "")
	f.Add("GET", "/v1/entities//", "%zz", "[", "\xff", "*", "1h")
	f.Fuzz(func(t *testing.T, method, path, query, body, key, match, timeout string) {
		h := serve(t, answering(nil), nil)
		r := &http.Request{Method: method, URL: fuzzedURL(path, query), Header: http.Header{}, Body: http.NoBody}
		r = r.WithContext(t.Context())
		if body != "" {
			r.Body = httptest.NewRequest("POST", "/", strings.NewReader(body)).Body
			r.ContentLength = int64(len(body))
			r.Header.Set("Content-Type", "application/json")
		}
		for name, value := range map[string]string{"Idempotency-Key": key, "If-Match": match, "Skerry-Timeout": timeout, "Traceparent": key} {
			if value != "" {
				r.Header[name] = []string{value}
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || w.Code >= 500 {
			t.Fatalf("%s %q is answered %d %q", method, path, w.Code, w.Body)
		}
	})
}

// fuzzedURL parses a path as the server does, or takes it unescaped.
func fuzzedURL(path, query string) *url.URL {
	if u, err := url.ParseRequestURI(path); err == nil {
		u.RawQuery = query
		return u
	}
	return &url.URL{Path: path, RawQuery: query}
}
