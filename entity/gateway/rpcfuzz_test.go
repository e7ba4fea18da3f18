package gateway_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

// Whatever is sent to a procedure in whatever protocol, the answer is one of that protocol and no fault of ours.
func FuzzProcedure(f *testing.F) {
	f.Add("application/grpc", "7", "", "1S", frame([]byte("\x0a\x01n")))
	f.Add("application/grpc+json", "7", "", "1S", frame([]byte("{}")))
	f.Add("application/grpc-web+proto", "7", "k", "", frame(nil)+"\x80\x00\x00\x00\x00")
	f.Add("application/json", "7", "k", "", `{"name":"n"}`)
	f.Add("application/proto", "", "k", "", "\x0a\x01n")
	f.Add("application/connect+proto", "7", "k", "", "\x02\x00\x00\x00\x00")
	f.Add("text/plain", "7", "k", "9999999999H", "\xff")
	h := serveRPC(f, answering(nil), nil)
	f.Fuzz(func(t *testing.T, contentType, id, key, timeout, body string) {
		for _, path := range []string{"/test.v1.Timers/Arm", "/skerry.api.v1.Entities/Call"} {
			r := httptest.NewRequest("POST", path, strings.NewReader(body))
			for name, value := range map[string]string{"Content-Type": contentType, "Skerry-Entity-Id": id, "Idempotency-Key": key, "Grpc-Timeout": timeout} {
				if value != "" {
					r.Header[name] = []string{value}
				}
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code == 500 || w.Code == 503 || contentType == "application/json" && !json.Valid(w.Body.Bytes()) {
				t.Fatalf("%s of %q is answered %d %q", path, contentType, w.Code, w.Body)
			}
		}
	})
}
