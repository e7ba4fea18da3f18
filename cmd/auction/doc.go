// Auction is Skerry's sample service: lots that people bid on, by eBay's rule.
//
//	auction                    serve
//	auction demo               serve, with lots and bidders to look at
//	auction replay FILE.csv    send recorded bids through a service, and check it
//	auction -h                 every setting, as a flag, a variable and a line of a file
//
// Read it in this order: internal/auction (the entity: rules and nothing else),
// start.go (what makes a service of it), main.go. What is left are clients of
// the public API: internal/client, internal/demo, internal/replay.
package main
