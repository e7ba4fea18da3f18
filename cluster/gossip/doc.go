// Package gossip finds the nodes of a cluster and notices failures, with
// HashiCorp's memberlist. It is the only folder that knows that library, and meets
// the port [cluster.Gossip].
//
//	g, err := gossip.Start(gossip.Config{Identity: id, Self: self, Bind: "127.0.0.1:0"})
//	…
//	_, err = g.Join(ctx, []string{"127.0.0.1:7946"})
//	for range g.Changed() {
//		use(g.Membership())
//	}
//
// Each process has a name of its own in memberlist, its incarnation: a restart is
// another member, not an update of the old one. What it says of itself travels in
// memberlist's metadata, 512 bytes at most, which is checked at the start.
//
// A process that dies silently is missed after about 2 to 3 seconds (see
// [Config.ProbeInterval]); one that leaves, at once. After a partition the two
// sides find each other again because each keeps trying its seeds and whom it lost.
//
// # Who is let in
//
// Nodes of another cluster, history or number of shards, or whose wire versions
// do not meet ours, are refused, by both sides and with a line in the log of each. With
// [Config.Keys] all traffic is encrypted, and what has none of the keys is refused in the
// same way. Without keys anyone who reaches the port can forge
// members: it costs the cluster time, never data, but it is why nothing listens
// beyond loopback unless told.
//
// # How memberlist is used
//
// Its callbacks run inside its locks, so ours only note what they are told.
// [Network] replaces its sockets in tests; it works inside testing/synctest.
package gossip
