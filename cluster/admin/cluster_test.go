package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/cluster/admin"
	"github.com/skerryhq/skerry/entity"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

// operated is a node of a cluster with fixed contents. It writes down what it is asked.
type operated struct {
	members   *adminv1.Members
	placement *adminv1.Placement
	events    *adminv1.ClusterEvents
	asked     []string
	err       error
}

func (o *operated) Members(context.Context) (*adminv1.Members, error)     { return o.members, nil }
func (o *operated) Placement(context.Context) (*adminv1.Placement, error) { return o.placement, nil }

func (o *operated) Watch(_ context.Context, after uint64) (*adminv1.ClusterEvents, error) {
	return o.events, o.ask("watch", after)
}

func (o *operated) Drain(_ context.Context, node string) error   { return o.ask("drain", node) }
func (o *operated) Undrain(_ context.Context, node string) error { return o.ask("undrain", node) }
func (o *operated) Pin(_ context.Context, shard int, node string) error {
	return o.ask("pin", shard, node)
}
func (o *operated) Unpin(_ context.Context, shards ...int) error { return o.ask("unpin", shards) }

func (o *operated) ask(words ...any) error {
	o.asked = append(o.asked, strings.TrimSpace(fmt.Sprintln(words...)))
	return o.err
}

func twoNodes() *operated {
	shard := uint32(3)
	return &operated{
		members:   &adminv1.Members{Node: "a", View: "v", Shards: 8, Members: []*adminv1.Member{{Node: "b"}, {Node: "a", Owns: 8}}},
		placement: &adminv1.Placement{Node: "a", Shards: []*adminv1.PlacedShard{{Shard: 0, Node: "a", Why: "cap"}}},
		events:    &adminv1.ClusterEvents{Node: "a", Events: []*adminv1.ClusterEvent{{Number: 8, Kind: "claimed", Shard: &shard}}, Missed: 2},
	}
}

func TestClientSeesTheClusterOfTheNode(t *testing.T) {
	t.Parallel()
	of := twoNodes()
	c := dial(t, admin.Cluster(of))
	if got, err := c.Members(t.Context()); err != nil || !proto.Equal(got, of.members) {
		t.Errorf("the members are %v (%v), want %v", got, err, of.members)
	}
	if got, err := c.Placement(t.Context()); err != nil || !proto.Equal(got, of.placement) {
		t.Errorf("the placement is %v (%v), want %v", got, err, of.placement)
	}
	if got, err := c.Watch(t.Context(), 5); err != nil || !proto.Equal(got, of.events) {
		t.Errorf("the events are %v (%v), want %v", got, err, of.events)
	}
	err := errors.Join(
		c.Drain(t.Context(), "b", false), c.Undrain(t.Context(), "b"), c.Pin(t.Context(), 7, "b", false), c.Unpin(t.Context()), c.Unpin(t.Context(), 1, 2),
		c.Drain(t.Context(), "gone/../é", true), c.Pin(t.Context(), 0, "gone", true), c.Undrain(t.Context(), "gone"))
	want := []string{"watch 5", "drain b", "undrain b", "pin 7 b", "unpin []", "unpin [1 2]", "drain gone/../é", "pin 0 gone", "undrain gone"}
	if err != nil || !slices.Equal(of.asked, want) {
		t.Errorf("the node was asked for %q (%v), want %q", of.asked, err, want)
	}
}

func TestOrdersThatCannotBeAreRefusedBeforeTheyAreStored(t *testing.T) {
	t.Parallel()
	of := twoNodes()
	c := dial(t, admin.Cluster(of))
	for want, err := range map[string]error{
		"no node \"x\" in the cluster": c.Drain(t.Context(), "x", false),
		"known: a, b":                  c.Pin(t.Context(), 1, "x", false),
		"shards are numbered 0 to 7":   c.Pin(t.Context(), 8, "a", true),
		"there is no shard \"9\"":      c.Unpin(t.Context(), 1, 9),
		"there is no shard \"-1\"":     c.Pin(t.Context(), -1, "a", false),
		"there is no such order":       askFor(t, of, http.MethodPost, "/admin/v1/orders/burn/a"),
		"is no number of an event":     askFor(t, of, http.MethodGet, "/admin/v1/events?after=x"),
		"cannot be asked by":           askFor(t, of, http.MethodGet, "/admin/v1/orders/drain/a"),
		"nothing is at this path":      askFor(t, of, http.MethodGet, "/admin/v1/members/a"),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want one with %q", err, want)
		}
	}
	if len(of.asked) > 0 {
		t.Errorf("the node was asked for %q", of.asked)
	}
}

func askFor(t *testing.T, of *operated, method, path string) error {
	t.Helper()
	w := httptest.NewRecorder()
	admin.New(admin.Cluster(of)).ServeHTTP(w, httptest.NewRequest(method, path, http.NoBody))
	if w.Code < 400 {
		return nil
	}
	return errors.New(w.Body.String())
}

func TestPageOfAnotherOriginGivesNoOrders(t *testing.T) {
	t.Parallel()
	of := twoNodes()
	h := admin.New(admin.Cluster(of))
	r := httptest.NewRequest(http.MethodPost, "/admin/v1/orders/drain/a", http.NoBody)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code < 400 || !strings.Contains(w.Body.String(), "cross-origin") || len(of.asked) > 0 {
		t.Errorf("it is answered %d %s; the node was asked for %q", w.Code, w.Body, of.asked)
	}
}

func TestOrderWhoseOutcomeIsUnknownIsToldSo(t *testing.T) {
	t.Parallel()
	of := twoNodes()
	of.err = &entity.Error{Kind: entity.ErrUnknownOutcome, Reason: "the order may have been stored, give it again"}
	if err := dial(t, admin.Cluster(of)).Drain(t.Context(), "a", false); !errors.Is(err, entity.ErrUnknownOutcome) || !strings.Contains(err.Error(), "give it again") {
		t.Errorf("the error is %v", err)
	}
}
