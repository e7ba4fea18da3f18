// Package transport carries envelopes, answers and streams of bytes between the nodes of a cluster.
//
// A node has one [Transport]: over TCP by [Listen], or inside the process by [Memory.Listen], which tests can make fail.
//
//	node, err := transport.Listen(transport.Config{Node: "n1#7f3a", Cluster: "auction", History: history, Shards: 64})
//	node.Serve(handler)                                  // what others send
//	node.Send(peer, &transport.Envelope{Request: req, Remaining: left}, func(a transport.Answer) { … })
//	stream, err := node.Open(ctx, peer, "tail", request) // bytes, for what is larger than an envelope
//
// # What is promised
//
// Send never blocks, and each envelope is answered once: by the peer, or by the transport, which knows two words only. What was
// never written to a connection is unavailable: it did not run. What was written and whose answer will not come is an unknown
// outcome. So one that is answered unavailable by the transport was not delivered, and the same key is safe to repeat either way.
// Envelopes that one goroutine sends to a peer arrive in that order; their answers come in any. A [*Moved] is for the
// sender's node only, which sends again; the transport itself never sends anything twice.
//
// A peer is a process: its name is other after each start, so what is meant for one that has ended does not reach the next one at
// its address.
//
// # How it runs
//
// Who asks makes the connection, when it is first needed. A connection has one goroutine that reads and one that
// writes; what gathers while a write is under way leaves in one frame with the next, so there is no timer and nothing to tune. A frame
// holds about 128 KiB of envelopes, and never more than 64 KiB of streams, so that a hand-off does not hold up commands.
//
// Both sides ping. A connection on which nothing is heard for [Config.DeadAfter] is over and its callers are told at
// once; who knows earlier that a process is dead says [Transport.Disconnect]. After a failure a peer is left alone for
// a pause that doubles; senders are told meanwhile that it is unreachable ([ErrUnreachable]), and may send the envelope to
// another node with [Envelope.Destination]: that one forwards it, once.
//
// A connection that breaks without a goodbye is made again at once, once, also by the side that did not make it, if [Config.Route]
// knows the way: so a process that was killed is known within a moment though nobody sends. [Config.Gone] is told of processes that have ended, [Config.Silent]
// of those that say nothing for a second, and [Check] asks one. The former is as good as certain: a port that nobody listens on, or
// another process there. The latter is a suspicion.
//
// A stream has a window for each direction: who writes faster than the other reads waits, and only it.
//
// # Who may speak
//
// Nodes say hello first: another cluster name, history, count of shards, or no common version of the protocol, and both sides
// refuse and log why. With [TLS] each proves by a certificate that it belongs to the cluster; without it, a node listens on loopback
// only, unless told. Whoever is let in is trusted: it says on whose behalf a command is sent.
//
// # Limits
//
// Everything that a peer can make grow has a limit, and reaching it never stops the node:
//
//	connections without hello     MaxHellos, HelloTimeout: the oldest goes
//	connections                   MaxConns: refused
//	connections that break        3 looks in a row, then one at most for each second that passes
//	a hello                       4 KiB: the connection ends
//	a frame                       MaxMessageBytes + 256 KiB: the connection ends; memory is taken as bytes come
//	a frame on its way            FrameTimeout, DeadAfter: the connection ends
//	an envelope or answer         MaxMessageBytes: it fails alone
//	unanswered envelopes          MaxCalls, MaxCallBytes, on both sides: busy at once
//	answers that are not read     MaxCallBytes: the connection ends
//	streams and their handlers    MaxStreams: refused
//	bytes of a stream             StreamWindow: its writer waits; the connection of one that does not ends
//	lines in the log              10 in 10 s; the next one tells how many were not written
package transport
