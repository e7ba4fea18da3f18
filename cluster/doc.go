// Package cluster decides which node owns which shard and brings each command there.
//
// Nodes find each other and notice failures by gossip (folder gossip, behind the
// port [Gossip]). What a node knows at one moment is a [View]: the members, the
// operators' pins and drains, and what the cluster is. It is a value; it is made
// in one place and never changed.
//
//	gossip ──members──►┐
//	                   ├─► View ──Place──► Table: shard → node, and why
//	journal ──orders──►┘
//
// [Place] is a pure function from a view to the whole table. Nodes with the same
// view (compare [View.Digest]) have the same table, so no node coordinates and no
// message is exchanged to agree.
//
// # What is promised
//
// Nothing here is needed for safety. Views differ between nodes for a while, and
// a suspicion may be wrong. The log of a shard fences: a node owns a shard when
// its claim is in the shard's log, whatever any table says. A wrong table costs a
// claim, never data. What the table promises is cheap and even work:
//
//   - no node is given more than 1.2 × its fair share, pins aside; where that share is below 32
//     shards, the margin is a little more (see capOf);
//   - when a node comes or goes, little more moves than must;
//   - pins and drains are obeyed where they can be, and the table says where they cannot.
package cluster
