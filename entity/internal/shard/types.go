package shard

import (
	"time"

	"github.com/skerryhq/skerry/journal"
)

// KeyKind tells who made a key. The kinds never collide with each other.
type KeyKind uint8

// The kinds of keys.
const (
	// NoKey is the zero Key.
	NoKey KeyKind = iota
	// ClientKey was made by the client library: client, number, oldest, issued.
	ClientKey
	// CallerKey was given by the caller: name.
	CallerKey
	// TimerKey belongs to one arming of a timer: name, armed.
	TimerKey
)

// Key identifies a command within its entity. Which fields count is told by Kind.
type Key struct {
	Kind KeyKind
	// Client is random per process; Number is the client's count; Oldest is the
	// oldest number that the client still holds open to this entity. Issued is
	// when the number was given out, in Unix nanoseconds.
	Client         [16]byte
	Number, Oldest uint64
	Issued         int64
	// Name is the caller's key or the timer's name.
	Name string
	// Armed is the entry that armed the timer.
	Armed uint64
}

// Command is one command or query on its way through a shard. The host makes it and
// gets it back in exactly one Answer.
type Command struct {
	To      journal.Entity
	Name    string // full name of the message
	Payload []byte
	Hash    uint64 // of name and payload
	Key     Key
	Query   bool
	Local   bool // queries: no confirmation
	Lookup  bool // a query for the stored answer of Key
	// After is the offset that a query's answer must have seen.
	After     uint64
	Expect    uint64
	HasExpect bool
	// Attempt is 2 or more for a repeat.
	Attempt                 int
	Principal, Cause, Trace string
	// Deadline is in Unix nanoseconds, by the host's clock.
	Deadline int64

	// Tag is the host's: where the answer goes. It is nil for timers.
	Tag any

	// Phases, in Unix nanoseconds by the host's clock; 0 if not reached. For the
	// slow-command log.
	Arrived, Dispatched, Handled int64
	// Recovered is when its entity was rebuilt, if the command waited for that.
	Recovered int64

	stage      stage
	answered   bool
	prev, next *Command // all unanswered commands of the shard, in order of arrival
}

// stage is how far a command got.
type stage uint8

const (
	queued   stage = iota // not given to a handler
	handling              // with the entity's actor
	storing               // its entry is gathered or being appended
	settling              // it stores nothing and waits for what its answer had seen
)

// AnswerKind is one of the kinds of answer.
type AnswerKind uint8

// The kinds of answer.
const (
	// Reply carries the reply's bytes.
	Reply AnswerKind = iota + 1
	// Reject carries the entity's no.
	Reject
	// Unavailable: it did not run and will not.
	Unavailable
	// Busy is Unavailable because something is full.
	Busy
	// Unknown: it may have run, or may still.
	Unknown
	// Failed: a defect; nothing was stored.
	Failed
	// Moved: it did not run here, and this node no longer owns the shard. Only the
	// caller's node sees it; it sends the command again.
	Moved
	// Running and NotKnown answer a lookup: its command has no outcome yet, or none that is remembered.
	Running
	NotKnown
)

// Answer ends a command.
type Answer struct {
	Command *Command
	Kind    AnswerKind
	Reply   []byte
	// Rejection is set for Reject.
	Rejection *Rejection
	// Reason is for people: Unavailable, Busy, Unknown, Failed, Moved.
	Reason string
	// RetryAfter is a hint for Unavailable and Busy.
	RetryAfter time.Duration
	// Version of the entity after the command; Offset of the shard's last event by then.
	Version  uint64
	Offset   uint64
	Repeated bool
	// Released tells that the machine holds the command no more.
	Released bool
	// Owner wrote the newest claim known, the one of Epoch; for Moved.
	Owner string
	Epoch uint64
}

// Codes of rejections that the runtime itself gives.
const (
	CodeVersionMismatch = "skerry/version-mismatch"
	CodeKeyReused       = "skerry/key-reused"
	CodeTooLarge        = "skerry/too-large"
	CodeMalformed       = "skerry/malformed"
)

// Rejection is a no with its reason.
type Rejection struct {
	Code, Message string
}

// Arm is a timer that an entry makes pending.
type Arm struct {
	Name    string
	Due     int64 // Unix nanoseconds
	Command string
	Payload []byte
}

// Pending is an armed timer of an entity.
type Pending struct {
	Arm
	// Armed is the entry that armed it.
	Armed uint64

	// attempts counts failures of this arming, retryAt is when it runs again.
	// waits: the last failure was the journal's, which could not take note of an event's type.
	attempts  int
	retryAt   int64
	lastError string
	waits     bool
}

// Handle asks the entity's actor to run one command.
type Handle struct {
	Entity  *Entity
	Command *Command
	// Entry is the number that it gets if it is stored, Version the entity's before it.
	Entry, Version uint64
	// Pending counts the entity's timers.
	Pending int
	// Time is the command's time.
	Time int64
	// StoreNo tells that a rejection is to be stored, so that it is final.
	StoreNo bool
	// No, if not nil, is the answer already: nothing is run.
	No *Rejection

	generation uint64
}

// Handled is what came of a Handle.
type Handled struct {
	Handle Handle
	// Entry is the encoded entry; nil if nothing is stored.
	Entry []byte
	// Events, Arms and Cancels are those of the entry.
	Events  int
	Arms    []Arm
	Cancels []string
	// Reply or Rejection is the answer, unless Failure says what broke.
	Reply     []byte
	Rejection *Rejection
	Failure   string
	// Unavailable tells that what broke is not the entity's: trying again later may go well.
	Unavailable bool
	// Rebuild tells that the actor's state can no longer be trusted. Stack is that of a panic.
	Rebuild bool
	Stack   []byte
}

// String names the kind in logs.
func (k AnswerKind) String() string {
	return [...]string{"none", "reply", "rejection", "unavailable", "busy", "unknown", "failed", "moved", "running", "not known"}[k]
}
