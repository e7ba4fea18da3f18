package shardtest

import (
	"github.com/skerryhq/skerry/entity/internal/shard"
	"github.com/skerryhq/skerry/journal"
)

// What goes in and what comes out.
type (
	// Machine is the machine of one shard.
	Machine = shard.Machine
	// Config is what a machine is made from.
	Config = shard.Config
	// Ready is what is to be done.
	Ready = shard.Ready
	// Command is a command or query.
	Command = shard.Command
	// Key is a command's key.
	Key = shard.Key
	// Answer is what a command ends with.
	Answer = shard.Answer
	// Append is a record for the log.
	Append = shard.Append
	// Check is a question about a slot of the log.
	Check = shard.Check
	// LogRange is records that are wanted.
	LogRange = shard.LogRange
	// HourRange is timers that are wanted.
	HourRange = shard.HourRange
	// Derive is what is to be written behind the log.
	Derive = shard.Derive
	// Handle is a command for its handler.
	Handle = shard.Handle
	// Handled is what came of it.
	Handled = shard.Handled
	// Encoded is an entity's state.
	Encoded = shard.Encoded
	// Recover is an entity that is wanted.
	Recover = shard.Recover
	// Recovered is the entity.
	Recovered = shard.Recovered
	// Image is what a machine keeps of an entity.
	Image = shard.Image
	// Entry is a stored command.
	Entry = shard.Entry
	// Outcome is a handler's decision.
	Outcome = shard.Outcome
	// Event is an event.
	Event = shard.Event
	// Arm is a timer that is armed.
	Arm = shard.Arm
	// Rejection is an entity's no.
	Rejection = shard.Rejection
	// Phase is where a machine is in its life.
	Phase = shard.Phase
)

// The kinds of keys, the kinds of answers and the phases of a machine.
const (
	ClientKey = shard.ClientKey
	CallerKey = shard.CallerKey
	TimerKey  = shard.TimerKey

	Reply       = shard.Reply
	Reject      = shard.Reject
	Unavailable = shard.Unavailable
	Busy        = shard.Busy
	Unknown     = shard.Unknown
	Failed      = shard.Failed
	Moved       = shard.Moved

	Starting = shard.Starting
	Serving  = shard.Serving
	Fenced   = shard.Fenced
	Halted   = shard.Halted
)

// New returns a machine that has done nothing yet.
func New(cfg Config) *Machine { return shard.New(cfg) }

// EncodeEntry is how a handler's decision is stored.
func EncodeEntry(h *Handle, o *Outcome) []byte { return shard.EncodeEntry(h, o) }

// CheckOrder tells how a record breaks the promises of a log, given the header before it.
func CheckOrder(prev, h journal.Header, want uint64) error { return shard.CheckOrder(prev, h, want) }
