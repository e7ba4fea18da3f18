package cluster

import "fmt"

// Reason says why a shard belongs where it does.
type Reason uint8

const (
	// ByRendezvous means that it is the shard's first choice.
	ByRendezvous Reason = iota + 1
	// ByCap means that its first choice is full with shards that cost less there.
	ByCap
	// ByPin means that an operator's pin says so.
	ByPin
	// ByVersion means that its first choice runs an older version than the owner.
	ByVersion
	// AwayDrained means that its first choice is drained.
	AwayDrained
	// AwayLeaving means that its first choice is leaving.
	AwayLeaving
	// AwayNotReady means that its first choice has not finished its start.
	AwayNotReady
	// AwayNoJournal means that its first choice cannot reach the journal.
	AwayNoJournal
	// Nowhere means that no member may own shards. Who owns the shard keeps it.
	Nowhere
	// AllDrained means that only drained nodes are left to own shards.
	AllDrained
)

// String is the word that operators read.
func (r Reason) String() string {
	words := []string{"", "rendezvous", "cap", "pin", "newer version", "drain", "leaving", "not ready", "no journal", "no candidate", "all are drained"}
	if int(r) >= len(words) {
		return fmt.Sprintf("reason %d", uint8(r))
	}
	return words[r]
}

// state says the same of a node that may own nothing.
func (r Reason) state() string {
	switch r {
	case AwayDrained:
		return "is drained"
	case AwayLeaving:
		return "is leaving"
	case AwayNotReady:
		return "is not ready"
	case AwayNoJournal:
		return "cannot reach the journal"
	}
	return r.String()
}
