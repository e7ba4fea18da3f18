package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/entity"
)

func TestNodeThatStartsIsReadyWhenWhatBelongsToItHasCome(t *testing.T) {
	t.Parallel()
	self := Member{Node: "a", Incarnation: "a-1", Weight: 1, Ready: true}
	d := newDecider(Identity{Cluster: "c", Shards: 2}, self)
	n, late := &Node{began: time.Now()}, &Node{began: time.Now().Add(-2 * comePatience)}
	d.membership(1, Membership{Members: []Member{self}})
	if why := n.probe.starting(n, d); len(why) != 1 || !strings.Contains(why[0], "2 shards") {
		t.Errorf("before any has come it tells %q", why)
	}
	if why := late.probe.starting(late, d); len(why) != 0 {
		t.Errorf("long after its start it tells %q", why)
	}
	for number := range uint32(2) {
		d.happened(2, entity.Ownership{Shard: number, State: entity.Serving, Owner: self.Incarnation, Epoch: 1})
	}
	if why := n.probe.starting(n, d); len(why) != 0 {
		t.Errorf("with all of them it tells %q", why)
	}
	d.happened(3, entity.Ownership{Shard: 1, State: entity.Fenced, Owner: "b-1", Epoch: 2})
	if why := n.probe.starting(n, d); len(why) != 0 {
		t.Errorf("when one goes later it tells %q", why)
	}
}

func TestNodeThatLeavesWaitsForDrainedNodesWhereThereAreNoOthers(t *testing.T) {
	t.Parallel()
	self, other := Member{Node: "a", Incarnation: "a-1", Weight: 1, Ready: true}, Member{Node: "b", Incarnation: "b-1", Weight: 1, Ready: true}
	d := newDecider(Identity{Cluster: "c", Shards: 2}, self)
	d.membership(1, Membership{Members: []Member{self, other}})
	for number := range uint32(2) {
		d.happened(2, entity.Ownership{Shard: number, State: entity.Serving, Owner: self.Incarnation, Epoch: 1})
	}
	d.leave()
	self.Leaving = true
	d.membership(2, Membership{Members: []Member{self, other}})
	if d.isFree() {
		t.Error("it leaves though another may have its shards")
	}
	d.ordersRead(3, orders{drains: []string{"b"}}, nil)
	if d.isFree() {
		t.Error("it leaves before the drained node, which has to serve on alone, has its shards")
	}
	d.membership(4, Membership{Members: []Member{self, {Node: "b", Incarnation: "b-1", Weight: 1}}})
	if !d.isFree() {
		t.Error("it waits for a node that is not ready")
	}
}
