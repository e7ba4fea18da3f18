package admin

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

// Watched is what operators see of the cluster: what one node knows of it. It is a cluster.Node, or a [Client] of one far away.
type Watched interface {
	Members(ctx context.Context) (*adminv1.Members, error)
	Placement(ctx context.Context) (*adminv1.Placement, error)
	// Watch tells what happened behind the event of that number. It waits a while for the next one if there is none yet.
	Watch(ctx context.Context, after uint64) (*adminv1.ClusterEvents, error)
}

// Operated is a node that takes operators' orders: a cluster.Node. They are stored in the journal and hold for all nodes.
type Operated interface {
	Watched
	Drain(ctx context.Context, node string) error
	Undrain(ctx context.Context, node string) error
	Pin(ctx context.Context, shard int, node string) error
	// Unpin takes back all pins, or those of the shards given.
	Unpin(ctx context.Context, shards ...int) error
}

// Cluster shows the cluster as the node knows it, and takes orders. An order is a POST, which a page of another origin
// cannot send through an operator's browser; it is answered with the members.
func Cluster(of Operated) Section { return &cluster{of, http.NewCrossOriginProtection()} }

type cluster struct {
	of    Operated
	guard *http.CrossOriginProtection
}

func (*cluster) Name() string { return "cluster" }

func (*cluster) Paths() []string {
	return []string{
		"members", "placement", "events?after={number}",
		"orders/drain/{node}?force={true}", "orders/undrain/{node}", "orders/pin/{shard}/{node}?force={true}", "orders/unpin?shards={1,2}",
	}
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	word, args, err := split(r)
	switch {
	case err != nil:
		gateway.WriteError(w, err)
	case word == "members" && len(args) == 0:
		members, err := c.of.Members(r.Context())
		show(w, r, members, err)
	case word == "placement" && len(args) == 0:
		placement, err := c.of.Placement(r.Context())
		show(w, r, placement, err)
	case word == "events" && len(args) == 0:
		c.events(w, r)
	case word == "orders":
		c.order(w, r, args)
	default:
		gateway.WriteError(w, gateway.NotFound(c.Paths(), "nothing is at this path"))
	}
}

func (c *cluster) events(w http.ResponseWriter, r *http.Request) {
	var after uint64
	if text := r.URL.Query().Get("after"); text != "" {
		var err error
		if after, err = strconv.ParseUint(text, 10, 64); err != nil {
			gateway.WriteError(w, malformed("after=%s is no number of an event", text))
			return
		}
	}
	if r.Method != http.MethodGet {
		gateway.WriteError(w, gateway.MethodNotAllowed(r.Method))
		return
	}
	events, err := c.of.Watch(r.Context(), after)
	show(w, r, events, err)
}

// order does what an operator wants.
func (c *cluster) order(w http.ResponseWriter, r *http.Request, args []string) {
	do, err := c.wanted(r, args)
	switch {
	case err != nil:
	case r.Method != http.MethodPost:
		err = gateway.MethodNotAllowed(r.Method, http.MethodPost)
	default:
		err = foreign(c.guard.Check(r))
	}
	if err == nil {
		err = do()
	}
	if err != nil {
		gateway.WriteError(w, err)
		return
	}
	answer(w, r, c.of.Members)
}

func foreign(err error) error {
	if err == nil {
		return nil
	}
	return &entity.Rejection{Code: "skerry/cross-origin", Message: err.Error()}
}

// wanted is what an order's path says.
func (c *cluster) wanted(r *http.Request, args []string) (do func() error, err error) {
	ctx := r.Context()
	switch kind := strings.Join(args[:min(len(args), 1)], ""); {
	case kind == "drain" && len(args) == 2:
		return func() error { return c.drain(ctx, r, args[1]) }, nil
	case kind == "undrain" && len(args) == 2:
		return func() error { return c.of.Undrain(ctx, args[1]) }, nil
	case kind == "pin" && len(args) == 3:
		return func() error { return c.pin(ctx, r, args[1], args[2]) }, nil
	case kind == "unpin" && len(args) == 1:
		return func() error { return c.unpin(ctx, r.URL.Query().Get("shards")) }, nil
	}
	return nil, gateway.NotFound(c.Paths(), "there is no such order")
}

func (c *cluster) drain(ctx context.Context, r *http.Request, node string) error {
	if _, err := c.known(ctx, r, node); err != nil {
		return err
	}
	return c.of.Drain(ctx, node)
}

func (c *cluster) pin(ctx context.Context, r *http.Request, shard, node string) error {
	members, err := c.known(ctx, r, node)
	if err != nil {
		return err
	}
	number, err := shardIn(members, shard)
	if err != nil {
		return err
	}
	return c.of.Pin(ctx, number, node)
}

func (c *cluster) unpin(ctx context.Context, list string) error {
	if list == "" {
		return c.of.Unpin(ctx)
	}
	members, err := c.of.Members(ctx)
	if err != nil {
		return err
	}
	var shards []int
	for _, text := range strings.Split(list, ",") {
		number, err := shardIn(members, text)
		if err != nil {
			return err
		}
		shards = append(shards, number)
	}
	return c.of.Unpin(ctx, shards...)
}

func shardIn(members *adminv1.Members, text string) (int, error) {
	number, err := strconv.Atoi(text)
	if err != nil || number < 0 || number >= int(members.GetShards()) {
		return 0, malformed("there is no shard %q: shards are numbered 0 to %d", text, members.GetShards()-1)
	}
	return number, nil
}

// known refuses an order for a node that is not there, unless the operator insists: it may be on its way.
func (c *cluster) known(ctx context.Context, r *http.Request, node string) (*adminv1.Members, error) {
	members, err := c.of.Members(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range members.GetMembers() {
		names = append(names, m.GetNode())
	}
	if slices.Contains(names, node) || r.URL.Query().Get("force") == "true" {
		return members, nil
	}
	slices.Sort(names)
	return nil, gateway.NotFound(slices.Compact(names), "there is no node %q in the cluster; an order for one that is not there needs force=true (-force)", node)
}
