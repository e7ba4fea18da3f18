package cluster

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Identity is what all nodes of a cluster have in common. Nodes that differ in
// any of it refuse each other.
type Identity struct {
	// Cluster is the operator's name for the cluster.
	Cluster string
	// History is the journal's history id: a restored journal is another one.
	History string
	// Shards is fixed by the first start on a journal.
	Shards int
}

// MaxShards bounds the shards of a cluster.
const MaxShards = 4096

// Check tells what an identity must not be.
func (id Identity) Check() error {
	switch {
	case id.Cluster == "" || len(id.Cluster) > MaxNodeBytes:
		return fmt.Errorf("cluster: the cluster's name %q has %d bytes; 1 to %d are allowed", id.Cluster, len(id.Cluster), MaxNodeBytes)
	case len(id.History) > MaxHistoryBytes:
		return fmt.Errorf("cluster: the history id %q has %d bytes; at most %d are allowed", id.History, len(id.History), MaxHistoryBytes)
	case id.Shards < 1 || id.Shards > MaxShards:
		return fmt.Errorf("cluster: %d shards; 1 to %d are allowed", id.Shards, MaxShards)
	}
	return nil
}

// Pin is an operator's order that a shard lives on a node while that node can have it.
type Pin struct {
	Shard int
	Node  string
}

// View is what a node knows of the cluster at one moment. It is immutable: the
// With methods return another one. Its order is canonical, so that the order in
// which news came never shows. The zero View has no shards and no members.
//
// A View is safe for concurrent use.
type View struct {
	identity Identity
	members  []Member // by node, one for each
	rivals   []Member // by node, then newest first
	pins     []Pin    // by shard, one for each
	drains   []string // ordered, each once
}

// NewView returns the view of a cluster without members.
func NewView(id Identity) View {
	return View{identity: id}
}

// WithMembers returns the view with these members in place of its own. Two
// processes under one node name are a restart seen before the old process was
// missed, or an operator's mistake: the one that started last is the member, the
// others are [View.Rivals].
func (v View) WithMembers(members []Member) View {
	sorted := slices.SortedFunc(slices.Values(members), newestFirst)
	v.members, v.rivals = nil, nil
	for i, m := range sorted {
		switch {
		case i > 0 && m.Incarnation == sorted[i-1].Incarnation:
			// The same process told twice; the order decides which telling counts.
		case i > 0 && m.Node == sorted[i-1].Node:
			v.rivals = append(v.rivals, m)
		default:
			v.members = append(v.members, m)
		}
	}
	return v
}

// newestFirst orders by node; of one node the process that started last comes first.
func newestFirst(a, b Member) int {
	return cmp.Or(
		cmp.Compare(a.Node, b.Node),
		cmp.Compare(b.StartedMillis, a.StartedMillis),
		cmp.Compare(b.Incarnation, a.Incarnation),
		a.compareRest(b),
	)
}

// WithOrders returns the view with these pins and drains in place of its own. Of
// two pins for one shard the node whose name comes first wins.
func (v View) WithOrders(pins []Pin, drains []string) View {
	sorted := slices.SortedFunc(slices.Values(pins), func(a, b Pin) int {
		return cmp.Or(cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.Node, b.Node))
	})
	v.pins = slices.CompactFunc(sorted, func(a, b Pin) bool { return a.Shard == b.Shard })
	v.drains = slices.Compact(slices.Sorted(slices.Values(drains)))
	return v
}

// Identity tells which cluster the view is of.
func (v View) Identity() Identity { return v.identity }

// Shards is the number of shards of the cluster.
func (v View) Shards() int { return v.identity.Shards }

// Members are ordered by node, one for each node. The slice is the caller's.
func (v View) Members() []Member { return slices.Clone(v.members) }

// Rivals are processes that run, or did a moment ago, under the name of a member
// that started after them. One that stays is a node name used twice.
func (v View) Rivals() []Member { return slices.Clone(v.rivals) }

// Pins are ordered by shard, one for each at most.
func (v View) Pins() []Pin { return slices.Clone(v.pins) }

// Drains are the nodes that operators want free of shards, ordered.
func (v View) Drains() []string { return slices.Clone(v.drains) }

// Drained tells whether an operator wants the node free of shards.
func (v View) Drained(node string) bool {
	_, found := slices.BinarySearch(v.drains, node)
	return found
}

// Member finds a member by the name of its node.
func (v View) Member(node string) (Member, bool) {
	i, found := slices.BinarySearchFunc(v.members, node, func(m Member, node string) int {
		return cmp.Compare(m.Node, node)
	})
	if !found {
		return Member{}, false
	}
	return v.members[i], true
}

// Oldest is the ready member that started first by its own clock; false if none is
// ready. Nodes with the same view name the same one.
func (v View) Oldest() (Member, bool) {
	var oldest Member
	for _, m := range v.members {
		if m.Ready && (oldest.Node == "" || m.StartedMillis < oldest.StartedMillis) {
			oldest = m
		}
	}
	return oldest, oldest.Node != ""
}

// Equal tells whether two views say the same in every respect.
func (v View) Equal(o View) bool {
	return v.identity == o.identity && slices.Equal(v.members, o.members) && slices.Equal(v.rivals, o.rivals) &&
		slices.Equal(v.pins, o.pins) && slices.Equal(v.drains, o.drains)
}

// Digest is short and the same for equal views, on all nodes and machines of a
// release: operators and tests compare it in logs.
func (v View) Digest() string {
	return fmt.Sprintf("%016x", xxhash.Sum64(v.canonical()))
}

// canonical writes all that Equal compares, with lengths, so that no two views write the same bytes.
func (v View) canonical() []byte {
	b := appendText(nil, v.identity.Cluster, v.identity.History)
	b = binary.AppendUvarint(b, uint64(v.identity.Shards))
	for _, list := range [][]Member{v.members, v.rivals} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, m := range list {
			b = m.appendCanonical(b)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(v.pins)))
	for _, p := range v.pins {
		b = appendText(binary.AppendVarint(b, int64(p.Shard)), p.Node)
	}
	b = binary.AppendUvarint(b, uint64(len(v.drains)))
	return appendText(b, v.drains...)
}

func appendText(b []byte, texts ...string) []byte {
	for _, t := range texts {
		b = append(binary.AppendUvarint(b, uint64(len(t))), t...)
	}
	return b
}

// String is one line for a log.
func (v View) String() string {
	names := make([]string, len(v.members))
	for i, m := range v.members {
		names[i] = m.Node
	}
	return fmt.Sprintf("%s: %d members (%s), %d pins, %d drains", v.Digest(), len(names), strings.Join(names, " "), len(v.pins), len(v.drains))
}
