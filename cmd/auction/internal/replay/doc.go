// Package replay sends bids that were once placed on eBay through a running
// auction's public API, closes each lot by command, and checks that nothing was lost,
// doubled or changed on the way.
//
// [Read] reads the file, [Run] sends and checks. Each auction becomes a live lot
// of its own; the lots are sent concurrently, the bids of one lot in order.
package replay
