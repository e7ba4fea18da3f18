// Package demo keeps an auction busy: it opens lots, bids on them at a human
// pace as a few made-up people, online and in the room, sells the live one as its clerk, and shows all
// of it on a terminal.
//
// It is a client of the public API like any other, so whoever bids with curl
// meanwhile is seen and bid against. It remembers nothing itself: what it finds
// in the service after a restart is where it goes on.
package demo
