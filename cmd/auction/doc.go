// Auction is Skerry's sample service: lots that people bid on, by eBay's rule.
//
//	auction                    serve
//	auction demo               serve, with lots and bidders to look at
//	auction demo -nodes 3      the same, as a cluster of three nodes in one process
//	auction replay FILE.csv    send recorded bids through a service, and check it
//	auction -payments URL      have the winners charged by another service, cmd/payments
//	auction -h                 every setting, as a flag, a variable and a line of a file
//
// The pages are at the root of the public address; /clerk is for who sells in the room. Nobody
// is asked who they are: bidders bid under any name, and whoever opens the clerk's page
// is the clerk. A service of your own gives the gateway a Principal and checks it.
//
// Read it in this order: internal/auction (the entities: rules and nothing else),
// internal/catalogue (the read model), start.go (what makes a service of it), member.go (what
// makes it a node of a cluster), charge.go (how it calls another service), main.go. What is left are the pages, internal/page, and clients of the public API: internal/client,
// internal/demo, internal/replay.
package main
