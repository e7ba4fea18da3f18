package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/skerryhq/skerry/entity"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

// knowledge is what a node knows at one moment, taken out of its loop: the loop makes copies and no more.
type knowledge struct {
	at        int64 // by the node's clock that nobody sets
	now       time.Time
	known     Membership
	view      View
	table     Table
	shards    []stewarded
	steps     []step
	refusing  map[string]int64
	verdicts  map[string]fate
	ordersErr string
}

// ask takes out what the node knows.
func (n *Node) ask(ctx context.Context) (*knowledge, error) {
	ctx, cancel := context.WithTimeout(ctx, askedPatience)
	defer cancel()
	var k knowledge
	err := n.inLoop(ctx, func(d *decider) {
		k = knowledge{
			at: n.now(), now: time.Now(), known: d.known, view: d.view, table: d.steward.table, shards: slices.Clone(d.steward.shards),
			steps: slices.Clone(n.chronicle.steps), refusing: maps.Clone(d.refusing), verdicts: d.witness.verdicts(), ordersErr: n.chronicle.ordersErr,
		}
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return &k, nil
}

// askedPatience bounds an operator's question.
const askedPatience = 5 * time.Second

// Members tells who is in the cluster, and how, as this node knows it.
func (n *Node) Members(ctx context.Context) (*adminv1.Members, error) {
	k, err := n.ask(ctx)
	if err != nil {
		return nil, err
	}
	out := &adminv1.Members{
		Node: n.self.Node, Incarnation: n.self.Incarnation, Cluster: n.identity.Cluster, History: n.identity.History,
		Shards: uint32(n.identity.Shards), View: k.view.Digest(), Drains: k.view.Drains(), OrdersError: k.ordersErr, //nolint:gosec // at most MaxShards
	}
	for _, p := range k.view.pins {
		out.Pins = append(out.Pins, &adminv1.Pin{Shard: uint32(p.Shard), Node: p.Node}) //nolint:gosec // a shard's number
	}
	owns, belong := k.counts()
	for _, m := range slices.SortedFunc(slices.Values(slices.Concat(k.known.Members, k.known.Lost)), newestFirst) {
		out.Members = append(out.Members, k.member(m, owns[m.Incarnation], belong))
	}
	return out, nil
}

// counts tells how many shards each process owns, and how many belong to each node.
func (k *knowledge) counts() (owns, belong map[string]uint32) {
	owns, belong = map[string]uint32{}, map[string]uint32{}
	for i := range k.shards {
		owns[k.shards[i].owner]++
		belong[k.table.Of(i).Node]++
	}
	return owns, belong
}

func (k *knowledge) member(m Member, owns uint32, belong map[string]uint32) *adminv1.Member {
	x := &adminv1.Member{
		Node: m.Node, Incarnation: m.Incarnation, Peer: m.Peer, Api: m.API, Version: m.Version, Weight: uint32(m.Weight), //nolint:gosec // 0 to MaxWeight
		Started: timestamppb.New(time.UnixMilli(m.StartedMillis)), Standing: k.standing(m),
		Ready: m.Ready, Draining: m.Draining || k.view.Drained(m.Node), Leaving: m.Leaving, JournalLost: m.JournalLost, Owns: owns,
	}
	switch x.Standing {
	case "lost":
		x.Verdict = fates[k.verdicts[m.Incarnation]]
	case "member":
		x.Belong = belong[m.Node]
	}
	return x
}

var fates = map[fate]string{gone: "gone", present: "present", unsure: "unsure", apart: "apart"}

func (k *knowledge) standing(m Member) string {
	if _, refuses := k.refusing[m.Incarnation]; refuses {
		return "refusing"
	}
	same := func(o Member) bool { return o.Incarnation == m.Incarnation }
	switch {
	case slices.ContainsFunc(k.known.Lost, same):
		return "lost"
	case slices.ContainsFunc(k.view.rivals, same):
		return "rival"
	}
	return "member"
}

// Placement tells where each shard is and where it belongs, as this node knows it.
func (n *Node) Placement(ctx context.Context) (*adminv1.Placement, error) {
	k, err := n.ask(ctx)
	if err != nil {
		return nil, err
	}
	out := &adminv1.Placement{Node: n.self.Node, Incarnation: n.self.Incarnation, View: k.view.Digest()}
	pins := map[int]string{}
	for _, p := range k.view.pins {
		pins[p.Shard] = p.Node
	}
	for i := range k.shards {
		x := k.placed(i)
		x.Pin = pins[i]
		out.Shards = append(out.Shards, x)
	}
	return out, nil
}

func (k *knowledge) placed(number int) *adminv1.PlacedShard {
	s, p, step := &k.shards[number], k.table.Of(number), &k.steps[number]
	x := &adminv1.PlacedShard{
		Shard: uint32(number), Node: nodeOf(s.owner), Owner: s.owner, Epoch: s.epoch, //nolint:gosec // a shard's number
		Belongs: p.Node, Why: p.Reason.String(), Instead: p.Instead, PinIgnored: p.Ignored,
		State: string(s.step(step)),
	}
	if step.what == stepKind(x.State) { // else it has just changed
		x.Since, x.Asked = timestamppb.New(step.since), nodeOf(step.with)
	}
	if s.until > k.at {
		x.RetryAt = timestamppb.New(k.now.Add(time.Duration(s.until - k.at)))
	}
	return x
}

// step is what this node does with a shard by what it has decided; noted is the newest step that was seen.
func (x *stewarded) step(noted *step) stepKind {
	switch {
	case x.state == serving && x.yieldsTo != "":
		return stepYielding
	case x.state == elsewhere && noted.what == stepHalted:
		return stepHalted
	}
	return [...]stepKind{stepElsewhere, stepPreparing, stepPrepared, stepAsking, stepClaiming, stepServing}[x.state]
}

// Shards tells the state of each shard as this node runs it, in order; those of other nodes are elsewhere.
func (n *Node) Shards(ctx context.Context) ([]entity.ShardInfo, error) { return n.host.Shards(ctx) }

// Inspect shows an entity whose shard this node owns. Of any other it tells which node to ask.
func (n *Node) Inspect(ctx context.Context, typ, id string, at *uint64) (*entity.EntityInfo, error) {
	info, err := n.host.Inspect(ctx, typ, id, at)
	var moved *entity.MovedError
	if !errors.As(err, &moved) {
		return info, err
	}
	owner := cmp.Or(nodeOf(n.routes.owner(moved.Shard).owner), "a node that this one does not know yet")
	return nil, &entity.Error{
		Kind: entity.ErrUnavailable, RetryAfter: time.Second, Cause: err,
		Reason: fmt.Sprintf("%s %q is of shard %d, which is on %s: ask that node", typ, id, moved.Shard, owner),
	}
}
