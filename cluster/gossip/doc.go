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
// A process that dies silently is missed after about 2 to 3 seconds; one that leaves, at once. After a partition the two
// sides find each other again because each keeps trying its seeds and whom it lost.
//
// # How soon, and how often in error
//
// Simulated on fake time, 1 ms from node to node; 30 deaths at any moment between two probes. In error is how often within 20 minutes a node
// was missed by another while all lived: with 5 % of all packets lost, and with each node standing still for 300 to 800 ms in every 5 s, in
// two runs. SKERRY_MEASURE=1 go test -run Measured -v takes it again.
//
//	interval, timeout, factor   nodes   the first survivor: median, worst   all: worst   in error: loss   stalls
//	400 ms, 200 ms, 3               3   1.9 s   2.7 s                       2.7 s        0                0, 0
//	(the default)                   5   2.0 s   2.8 s                       2.9 s        0                6, 0
//	                               10   2.0 s   2.9 s                       3.0 s        0                0, 9
//	500 ms, 250 ms, 3               3   2.5 s   3.4 s                       3.4 s        0                0, 0
//	                                5   2.3 s   3.4 s                       3.4 s        0                7, 4
//	                               10   2.4 s   3.3 s                       3.3 s        0                2, 0
//	400 ms, 200 ms, 4              10   2.3 s   3.1 s                       3.2 s        0                9
//	300 ms, 150 ms, 3              10   1.5 s   1.8 s                       1.8 s        0                43
//
// An error costs a claim for each shard of who was missed, and is over when that one is heard again.
//
// # Who is let in
//
// Nodes of another cluster, history or number of shards, or whose wire versions
// do not meet ours, are refused, by both sides and with a line in the log of each. With
// [Config.KeyFile] all traffic is encrypted, and what has none of the keys is refused in the
// same way; the file is read each second, so keys are rotated without a restart (see [ReadKeyFile]). Without keys anyone who reaches the
// port can forge members: it costs the cluster time, never data, but it is why nothing listens beyond loopback unless told ([Config.Plain]).
//
// # How memberlist is used
//
// Its callbacks run inside its locks, so ours only note what they are told. News is told twice as often as it would by itself,
// so that hardly ever somebody has not heard it; its compression is off, which took more than half of the processor's time in a simulated start of 200 nodes.
// [Network] replaces its sockets in tests; it works inside testing/synctest.
package gossip
