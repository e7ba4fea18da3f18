package admin_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/cluster/admin"
	"github.com/skerryhq/skerry/entity"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

// readSide is a read side with fixed contents.
type readSide struct {
	status *adminv1.Processors
	parked *adminv1.ParkedEntities
	err    error
	asked  []string
}

func (r *readSide) Status(context.Context) (*adminv1.Processors, error) { return r.status, r.err }

func (r *readSide) Parked(_ context.Context, processor string) (*adminv1.ParkedEntities, error) {
	return r.parked, r.ask("parked", processor)
}

func (r *readSide) Retry(_ context.Context, processor, entityType, entityID string) error {
	return r.ask("retry", processor, entityType, entityID)
}

func (r *readSide) Pause(_ context.Context, processor string) error { return r.ask("pause", processor) }

func (r *readSide) Resume(_ context.Context, processor string) error {
	return r.ask("resume", processor)
}

func (r *readSide) ask(words ...string) error {
	r.asked = append(r.asked, strings.Join(words, "|"))
	return r.err
}

func TestClientSeesTheProcessorsOfTheNode(t *testing.T) {
	t.Parallel()
	of := &readSide{
		status: &adminv1.Processors{Processors: []*adminv1.Processor{{Name: "lots", LagEvents: 7, Shards: []*adminv1.ProcessorShard{{Shard: 3, LastError: "x"}}}}},
		parked: &adminv1.ParkedEntities{Entities: []*adminv1.ParkedEntity{{Type: "lot", Id: "1", Offset: 5}}, Cut: true},
	}
	c := dial(t, admin.Processors(of))
	if got, err := c.Status(t.Context()); err != nil || !proto.Equal(got, of.status) {
		t.Errorf("the status is %v (%v), want %v", got, err, of.status)
	}
	if got, err := c.Parked(t.Context(), "a/b"); err != nil || !proto.Equal(got, of.parked) {
		t.Errorf("parked is %v (%v), want %v", got, err, of.parked)
	}
	err := errors.Join(c.Retry(t.Context(), "a/b", "lot", "x/../y é"), c.Pause(t.Context(), "lots"), c.Resume(t.Context(), "lots"))
	if want := "parked|a/b retry|a/b|lot|x/../y é pause|lots resume|lots"; err != nil || strings.Join(of.asked, " ") != want {
		t.Errorf("the node was asked for %q (%v), want %q", of.asked, err, want)
	}
	of.err = &entity.Rejection{Code: "skerry/not-found", Message: "no such processor"}
	if err := c.Pause(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "no such processor") {
		t.Errorf("the error is %v", err)
	}
}

func TestVerbsOnProcessorsAreGuarded(t *testing.T) {
	t.Parallel()
	of := &readSide{status: &adminv1.Processors{}}
	h := admin.New(admin.Processors(of))
	ask := func(method string, edit func(*http.Request)) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/admin/v1/processors/lots/pause", http.NoBody)
		edit(r)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	if w := ask(http.MethodGet, func(*http.Request) {}); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodPost {
		t.Errorf("GET is answered %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	foreign := func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }
	if w := ask(http.MethodPost, foreign); w.Code < 400 || !strings.Contains(w.Body.String(), "cross-origin") {
		t.Errorf("a page of another origin is answered %d %s", w.Code, w.Body)
	}
	if len(of.asked) > 0 {
		t.Errorf("the node was asked for %q", of.asked)
	}
	if w := ask(http.MethodPost, func(*http.Request) {}); w.Code != http.StatusOK || len(of.asked) != 1 {
		t.Errorf("POST is answered %d %s", w.Code, w.Body)
	}
}
