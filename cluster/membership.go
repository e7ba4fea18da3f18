package cluster

import "context"

// Membership is what gossip knows at one moment.
type Membership struct {
	// Members are the processes thought to be alive, this one included, in no order.
	Members []Member
	// Lost are processes that stopped answering and did not say goodbye: crashed,
	// paused or cut off. One that comes back leaves the list, so does the oldest when it is full.
	Lost []Member
}

// Gossip finds nodes and notices failures. It promises no agreement and no
// order: two nodes may see different members for a while, and one that is
// thought lost may be well. All methods are safe for concurrent use.
type Gossip interface {
	// Membership is what is known now. It never blocks; the slices are the caller's.
	Membership() Membership
	// Changed gets a signal after each change. Signals that nobody took yet are one:
	// read Membership after each.
	Changed() <-chan struct{}
	// Announce replaces what this process says of itself; gossip spreads it from here on.
	// Node, incarnation and start cannot change. It does not block.
	Announce(self Member) error
	// Join tries the seeds now and tells how many answered; the error says why none
	// did. The seeds are kept and tried again, for as long as the gossip runs,
	// whenever they are not among the members.
	Join(ctx context.Context, seeds []string) (int, error)
	// Leave says goodbye: others see this process gone at once, and not as lost.
	Leave(ctx context.Context) error
	// Close stops without a word, as a crash would, and waits for what it started.
	Close() error
}
