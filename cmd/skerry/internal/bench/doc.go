// Package bench measures a [entity.Host] from inside its process: how many
// commands it answers, how fast, at what cost, and what the store under it
// could do at best.
//
// The loop is closed: each caller sends its next command when the last one was
// answered. A command stores one event and every answer is durable. Latencies are
// those that a caller of [entity.Method.Ask] sees. Figures are only as good as the machine is
// quiet: take medians of several runs and look at the load beside them.
//
// A cluster is measured in two ways. [Hop] compares commands to entities of another node with commands to one's own, on
// nodes in this process. [Fault] runs nodes in processes of their own, keeps a steady rate of commands up (an open loop: one
// that waits holds up no other), and kills, pauses or replaces nodes meanwhile; then it
// compares what callers were told with the logs.
package bench
