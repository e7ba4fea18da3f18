package stream

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// What a client sends as its place is a place in the logs, or is known to be none: nothing else happens.
func FuzzWhereAClientGoesOn(f *testing.F) {
	for _, seed := range [][2]string{
		{"", ""},
		{"h1.0:3,2:1", ""},
		{"", "h1.0:3"},
		{"h1.", "h1.1:1"},
		{"h0.0:1", ""},
		{"h1.3:1", ""},
		{"h1.1:18446744073709551615", ""},
		{"h1.0:1,0:2", "x"},
		{"\x00\n", "%zz"},
	} {
		f.Add(seed[0], seed[1])
	}
	s, err := New(Config{
		Source: still{}, Name: "n", Lists: []string{"l"},
		Rules: []Rule{{event: "e", render: func(Event[proto.Message]) []Fragment { return nil }}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header, after string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.RawQuery = url.Values{"after": {after}}.Encode()
		r.Header.Set("Last-Event-ID", header)
		token, resumes := tokenOf(r)
		if resumes != (header != "" || after != "") {
			t.Fatalf("resumes: %v", resumes)
		}
		at, ok := s.position(token)
		if !ok {
			return
		}
		again, err := journal.ParseToken(at.text("h1"))
		if err != nil || token.History != "h1" {
			t.Fatalf("%v is taken, and its text is no token: %v", token, err)
		}
		for shard := range uint32(len(at)) {
			if at[shard] != token.Offset(shard) || at[shard] != again.Offset(shard) {
				t.Fatalf("%v became %v", token, at)
			}
		}
	})
}

// still is a source in which nothing happens.
type still struct{ Source }

func (still) History() string            { return "h1" }
func (still) Shards() int                { return 3 }
func (still) Types() []entity.Definition { return nil }
