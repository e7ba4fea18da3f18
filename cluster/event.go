package cluster

import (
	"fmt"
	"strings"
	"time"
)

// event is something that changed, as this node saw it. It prints itself.
type event struct {
	number uint64
	at     time.Time
	kind   eventKind
	// who it is about: an incarnation, or the name of a node.
	who string
	// shard is the one that it is about, with the epoch of its newest claim, for kinds that are about a shard.
	shard uint32
	epoch uint64
	// pause is how long nobody served the shard, as far as this node knows.
	pause time.Duration
	note  string
}

type eventKind string

// Kinds about members.
const (
	eventJoined   eventKind = "joined"
	eventLeft     eventKind = "left"
	eventLost     eventKind = "lost"
	eventBack     eventKind = "back"
	eventChanged  eventKind = "changed"
	eventRefusing eventKind = "refusing"
	eventVerdict  eventKind = "verdict"
	eventOrders   eventKind = "orders"
	eventView     eventKind = "view"
	eventEmpty    eventKind = "empty"
)

// Kinds about shards.
const (
	eventPrepared eventKind = "prepared"
	eventAsking   eventKind = "asking"
	eventYielding eventKind = "yielding"
	eventYielded  eventKind = "yielded"
	eventResumed  eventKind = "resumed"
	eventClaimed  eventKind = "claimed"
	eventOwned    eventKind = "owned"
	eventRefused  eventKind = "refused"
	eventFenced   eventKind = "fenced"
	eventHalted   eventKind = "halted"
)

func (k eventKind) isAboutShard() bool {
	switch k {
	case eventPrepared, eventAsking, eventYielding, eventYielded, eventResumed, eventClaimed, eventOwned, eventRefused, eventFenced, eventHalted:
		return true
	}
	return false
}

// String is the sentence that operators read.
func (e event) String() string {
	text := e.sentence()
	if e.pause > 0 {
		text += fmt.Sprintf(", after %v without an owner", rounded(e.pause))
	}
	if e.note != "" {
		text += ": " + e.note
	}
	return text
}

// rounded leaves three digits or so.
func rounded(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}

func (e event) sentence() string {
	who := nodeOf(e.who)
	switch e.kind {
	case eventPrepared:
		return fmt.Sprintf("shard %d is prepared here: its log's tail is in memory", e.shard)
	case eventAsking:
		return fmt.Sprintf("shard %d: %s is asked to yield it", e.shard, who)
	case eventYielding:
		return fmt.Sprintf("shard %d: %s wants it; what is under way is ended", e.shard, who)
	case eventYielded:
		return fmt.Sprintf("shard %d is at rest and waits for %s", e.shard, who)
	case eventResumed:
		return fmt.Sprintf("shard %d serves on: nobody claimed it", e.shard)
	case eventClaimed:
		return fmt.Sprintf("shard %d serves here since epoch %d", e.shard, e.epoch)
	case eventOwned:
		return fmt.Sprintf("shard %d serves on %s since epoch %d", e.shard, who, e.epoch)
	case eventRefused:
		return fmt.Sprintf("shard %d: %s keeps it", e.shard, who)
	case eventFenced:
		return fmt.Sprintf("shard %d went to %s with epoch %d", e.shard, who, e.epoch)
	case eventHalted:
		return fmt.Sprintf("shard %d is halted", e.shard)
	case eventVerdict:
		return who + " is judged"
	case eventOrders:
		return "the operators' orders"
	case eventView:
		return "the view"
	case eventEmpty:
		return "no shard is left here"
	}
	return strings.TrimSpace(who + " " + says[e.kind])
}

// says is what a kind says of a member.
var says = map[eventKind]string{
	eventJoined: "joined", eventLeft: "left", eventLost: "is lost: gossip hears nothing of it", eventBack: "is back",
	eventChanged: "is now", eventRefusing: "has ended: its sockets refuse connections",
}

// nodeOf is the node whose process has that incarnation; a node's name is its own.
func nodeOf(incarnation string) string {
	const unique = 17 // see NewIncarnation
	if i := strings.LastIndexByte(incarnation, '-'); i > 0 && len(incarnation)-i == unique {
		return incarnation[:i]
	}
	return incarnation
}
