// Package launch boots real Apache Cassandra nodes on this machine, for tests
// and for development. It needs Java 17 and Maven, nothing else.
//
//	cluster, err := launch.Start(ctx, launch.Config{Nodes: 3})
//	if err != nil {
//		return err // names what is missing, or the end of the node's log
//	}
//	defer cluster.Stop()
//	hosts := cluster.Hosts() // "127.0.0.1:40123", "127.0.0.2:40123", …
//
// The first start fetches Cassandra's jars (66 MB) with Maven into a cache; each
// later one takes 5 to 13 seconds a node. Nodes listen on loopback addresses
// only, and they end when the process that started them ends, however it ends (on
// Linux; elsewhere call Stop). Their temporary folder goes with them. A node that runs
// out of memory ends instead of hanging: [Cluster.Wait] tells.
//
// A node can be killed, paused and restarted by its methods, and nothing else
// on the machine is touched: all is done by process id.
//
// Tests share one node per test process, and the tests of one process at a time use
// nodes: see [Shared].
package launch
