package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/cluster/admin"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
)

// node is a node with fixed contents.
type node struct {
	shards []entity.ShardInfo
	entity *entity.EntityInfo
	err    error
	asked  struct {
		typ, id string
		at      *uint64
	}
}

func (n *node) Shards(context.Context) ([]entity.ShardInfo, error) { return n.shards, n.err }

func (n *node) Inspect(_ context.Context, typ, id string, at *uint64) (*entity.EntityInfo, error) {
	n.asked.typ, n.asked.id, n.asked.at = typ, id, at
	return n.entity, n.err
}

// fill gives each field of a value another content, so that a field that is
// forgotten on the way shows.
func fill(v reflect.Value, next *int) {
	*next++
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString(strings.Repeat("x", *next))
	case reflect.Int:
		v.SetInt(int64(*next))
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*next))
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			v.SetBytes([]byte(`{"n": 9007199254740993}`))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), next)
		fill(v.Index(1), next)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(int64(*next), 5).UTC()))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), next)
		}
	default:
		panic("a field of kind " + v.Kind().String() + ": teach this test to fill it")
	}
}

func dial(t *testing.T, sections ...admin.Section) *admin.Client {
	t.Helper()
	server := httptest.NewServer(admin.New(sections...))
	t.Cleanup(server.Close)
	return &admin.Client{Addr: server.Listener.Addr().String(), HTTP: server.Client()}
}

func TestClientSeesWhatTheNodeShows(t *testing.T) {
	t.Parallel()
	n := &node{entity: &entity.EntityInfo{}}
	next := 0
	fill(reflect.ValueOf(&n.shards).Elem(), &next)
	fill(reflect.ValueOf(n.entity).Elem(), &next)
	c := dial(t, admin.Entities(n))

	shards, err := c.Shards(t.Context())
	if err != nil || !reflect.DeepEqual(shards, n.shards) {
		t.Errorf("shards are\n%+v (%v), want\n%+v", shards, err, n.shards)
	}
	at := uint64(7)
	info, err := c.Inspect(t.Context(), "lot/a", "x/../y é", &at)
	if err != nil || !reflect.DeepEqual(info, n.entity) {
		t.Errorf("the entity is\n%+v (%v), want\n%+v", info, err, n.entity)
	}
	if n.asked.typ != "lot/a" || n.asked.id != "x/../y é" || n.asked.at == nil || *n.asked.at != 7 {
		t.Errorf("the node was asked for %+v", n.asked)
	}
}

func TestEmptyEntityKeepsItsShape(t *testing.T) {
	t.Parallel()
	want := &entity.EntityInfo{Type: "lot", ID: "1", Events: []entity.EventInfo{}, Timers: []entity.TimerInfo{}, Window: []entity.WindowInfo{}}
	c := dial(t, admin.Entities(&node{entity: want}))
	if got, err := c.Inspect(t.Context(), "lot", "1", nil); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("the entity is %+v (%v), want %+v", got, err, want)
	}
}

func TestNodesErrorsReachTheClient(t *testing.T) {
	t.Parallel()
	for _, want := range []error{
		&entity.Rejection{Code: "skerry/unknown-type", Message: "no such type"},
		&entity.Error{Kind: entity.ErrUnavailable, Reason: "stopping", RetryAfter: time.Second},
	} {
		c := dial(t, admin.Entities(&node{err: want}))
		if _, err := c.Shards(t.Context()); !reflect.DeepEqual(err, want) {
			t.Errorf("shards: the client gets %#v, want %#v", err, want)
		}
		if _, err := c.Inspect(t.Context(), "lot", "1", nil); !reflect.DeepEqual(err, want) {
			t.Errorf("entity: the client gets %#v, want %#v", err, want)
		}
	}
}

func TestNodeWithoutTheShardTellsWhereItIs(t *testing.T) {
	t.Parallel()
	c := dial(t, admin.Entities(&node{err: &entity.MovedError{Shard: 3, Owner: "n2-1", Epoch: 7}}))
	_, err := c.Inspect(t.Context(), "lot", "1", nil)
	if !errors.Is(err, entity.ErrUnavailable) || !strings.Contains(err.Error(), "shard 3 belongs to n2-1 since epoch 7: ask that node") {
		t.Errorf("the client gets %v", err)
	}
}

func TestWrongVersionIsMalformed(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	admin.New(admin.Entities(&node{})).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/admin/v1/entities/lot/1?at=x", http.NoBody))
	if err := gateway.ReadError(w.Result()); !errors.Is(err, entity.ErrMalformed) {
		t.Errorf("the error is %v, want ErrMalformed", err)
	}
}

func TestNothingThereIsToldApart(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	addr := server.Listener.Addr().String()
	if _, err := (&admin.Client{Addr: addr}).Shards(t.Context()); err == nil || !strings.Contains(err.Error(), "no Skerry service") {
		t.Errorf("another server gives %v", err)
	}
	server.Close()
	if _, err := (&admin.Client{Addr: addr}).Shards(t.Context()); !errors.Is(err, admin.ErrUnreachable) {
		t.Errorf("no server gives %v, want ErrUnreachable", err)
	}
	if _, err := (&admin.Client{Addr: "8081"}).Shards(t.Context()); err == nil || !strings.Contains(err.Error(), "HOST:PORT") {
		t.Errorf("an address without a port gives %v", err)
	}
}

func TestListenerAnswers(t *testing.T) {
	t.Parallel()
	h := admin.New(admin.Entities(&node{entity: &entity.EntityInfo{}}), admin.Runtime("test"), admin.Profiles())
	tests := map[string]struct {
		method, path string
		status       int
		says         string
	}{
		"the sections":         {"GET", "/admin/v1/", 200, `"/admin/v1/entities/{type}/{id}?at={version}"`},
		"the shards":           {"GET", "/admin/v1/shards", 200, `{"shards":[]}`},
		"an entity":            {"GET", "/admin/v1/entities/lot/1", 200, `"version":"0"`},
		"the runtime":          {"GET", "/admin/v1/runtime", 200, `"program":"test"`},
		"a profile":            {"GET", "/admin/v1/profiles/goroutine?debug=1", 200, "goroutine profile"},
		"an unknown profile":   {"GET", "/admin/v1/profiles/x", 404, `"heap"`},
		"no profile named":     {"GET", "/admin/v1/profiles", 404, `"heap"`},
		"an unknown section":   {"GET", "/admin/v1/x", 404, `"runtime"`},
		"another path":         {"GET", "/x", 404, "/admin/v1/"},
		"an entity without id": {"GET", "/admin/v1/entities/lot", 404, "entities/{type}/{id}"},
		"parts behind shards":  {"GET", "/admin/v1/shards/a/b", 404, "nothing is at this path"},
		"a bad version":        {"GET", "/admin/v1/entities/lot/1?at=-1", 400, "no version"},
		"another method":       {"POST", "/admin/v1/shards", 405, "cannot be asked by"},
		"another method here":  {"POST", "/admin/v1/profiles/heap", 405, "cannot be asked by"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(test.method, test.path, http.NoBody))
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.says) {
				t.Errorf("answered %d %s, want %d with %s", w.Code, w.Body, test.status, test.says)
			}
		})
	}
}

func TestSectionsMustNotShareAPath(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("two sections serve the same path and nothing is said")
		}
	}()
	admin.New(admin.Runtime("one"), admin.Runtime("two"))
}
