package main

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/cluster/admin"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

// stubborn is a node that takes orders and obeys none.
type stubborn struct {
	admin.Operated
	drains []string
}

func (s *stubborn) Members(context.Context) (*adminv1.Members, error) {
	return &adminv1.Members{Node: "a", Shards: 2, Members: []*adminv1.Member{{Node: "a"}, {Node: "b"}}, Drains: s.drains}, nil
}

func (s *stubborn) Placement(context.Context) (*adminv1.Placement, error) {
	return &adminv1.Placement{Shards: []*adminv1.PlacedShard{{Shard: 0, Node: "b", Belongs: "a"}, {Shard: 1, Node: "b", Belongs: "a"}}}, nil
}

func (s *stubborn) Drain(_ context.Context, node string) error {
	s.drains = append(s.drains, node)
	return nil
}

func TestWaitForAnOrderEndsAndTellsHowFarItCame(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(admin.New(admin.Cluster(&stubborn{})))
	defer server.Close()
	for line, want := range map[string]struct {
		code      int
		out, told string
	}{
		"drain b -wait 300ms": {exitFailed, "", "2 shards left\nskerry: the order is stored and obeyed, but after 300ms 2 shards are not yet where wanted: see skerry shards -moving\n"},
		"drain b -wait 1ns":   {exitFailed, "", "2 shards left\nskerry: the order is stored and obeyed, but after 1ns 2 shards are not yet where wanted: see skerry shards -moving\n"}, // over before the first look
		"drain b":             {exitOK, "b is being drained, until undrain: 2 shards are still there\n", ""},
	} {
		var out, told strings.Builder
		code := run(t.Context(), append(strings.Fields(line), "-addr", server.Listener.Addr().String()), terminal{&out, &told, func(string) string { return "" }})
		if code != want.code || out.String() != want.out || told.String() != want.told {
			t.Errorf("skerry %s ends with %d: %q, %q", line, code, &out, &told)
		}
	}
}
