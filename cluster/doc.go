// Package cluster joins the processes of a service: it decides which node owns which shard, brings it there while commands
// flow, and brings each command to the owner.
//
//	node, err := cluster.Start(ctx, cluster.Config{Name: "n1", Seeds: seeds, Host: host, Gossip: …, Transport: …})
//	receipt, err := placeBid.Ask(ctx, lots.Ref(node, "lot-42"), bid) // any node takes any command
//
// A [Node] has one goroutine that decides (decider.go, a pure machine); the rest brings it what happened and does what it
// orders:
//
//	gossip ────members─────────►┐                                  ┌─► prepare, yield, claim: entity.Host
//	transport ─refused, silent─►┤                                  │
//	journal ───witness rows────►├─► View ──Place──► Table ──steward┼─► "yield", "owned" to other nodes
//	journal ───operators' orders┤                  shard → node    │
//	host ──────what happened───►┘                                  └─► routes: where to send a command
//
// What a node knows at one moment is a [View]. It is a value, made in one place and never changed. [Place] is a pure
// function from a view to the whole table, so nodes with the same view (compare [View.Digest]) have the same table: no
// node coordinates, and no message is exchanged to agree.
//
// # What is promised
//
// Nothing here is needed for safety. Views differ between nodes for a while, and a suspicion may be wrong. The log of a
// shard fences: a node owns a shard when its claim is in the shard's log, whatever any table says. A wrong
// decision costs a claim, never an event. What is promised is that it goes on, soon and with little work:
//
//   - A shard is moved by its next owner: it takes in the log's tail while the present owner serves, asks that one to yield,
//     and claims. The pause is what was under way and one append. An owner that does not answer within 1 s is overtaken.
//   - A process that ended is known at once where its sockets refuse connections, else by gossip and then by its row in the journal
//     (the witness): who is silent in both has crashed, however few survive.
//   - Who is silent in gossip and alive in the journal is behind a partition. Only the larger side claims, of two halves the one
//     with the oldest node; the other side serves what it holds until it is fenced. Nobody exits.
//   - No node is given more than 1.2 × its fair share of shards, pins aside; where that share is below 32 shards, the margin is
//     a little more (see capOf). When a node comes or goes, little more moves than must.
//   - Pins and drains are stored in the journal, obeyed where they can be, and the table says where they cannot.
//
// # Commands
//
// [Node.Call] sends a command to the owner as far as this node knows it, follows it when it has moved, goes through a third node
// where there is no direct way, and sends again what is safe to send again, all with one key and within the caller's
// time. Callers never see where a shard is. Once an attempt may have run, only a reply or a
// stored rejection ends the call; when the time is over before, the outcome is unknown.
//
// # Events
//
// [Node.Feed] shows the logs of all shards on any node, as their owners tell and the journal holds. Processors follow [Node.Own], the shards
// that this node has, so that each shard is followed beside its owner and follows it from node to node, or
// [Node.All] on nodes that have none.
//
// # Leaving
//
// [Node.Stop] lets the others take the shards while commands flow, says goodbye and ends. A service that has doors of its own
// calls [Node.HandOver] first, closes them, and then stops.
package cluster
