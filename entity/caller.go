package entity

import (
	"context"

	"github.com/skerryhq/skerry/entity/internal/shard"
	"github.com/skerryhq/skerry/journal"
)

// Caller delivers a command to the entity it is addressed to and returns what
// came of it: a [Host] for the entities of one node, a cluster's node, or a
// client outside. It may be called concurrently.
//
// The error is nil, a *[Rejection], or an *[Error] whose kind tells what to do.
// The context's deadline is the command's; without one it is 5 s, and never more than 60 s.
type Caller interface {
	Call(ctx context.Context, req *Request) (*Response, error)
}

// Request is one command or query on its way. Most code never sees one: see
// [Method.Ask].
type Request struct {
	// Type and ID name the entity: valid UTF-8, at most 512 bytes each, not
	// empty, without control characters.
	Type, ID string
	// Command is the full or the short name of the command's message.
	Command string
	// Payload is the command's message, encoded. It must not be changed after the call, not even
	// after it returned.
	Payload []byte
	// Key makes a repeat of the command safe. The zero Key lets the Caller choose one.
	Key CommandKey
	// Attempt counts the times that this command was sent, from 1; 0 is 1.
	Attempt int
	// IfVersion, if not nil, is the only version at which the command may run.
	IfVersion *uint64
	// Local lets a query be answered from what the entity's node knows: never
	// dirty, perhaps stale.
	Local bool
	// After lets a query be answered only from a state that has seen everything that the token stands for.
	After journal.Token
	// Async lets the call of a command return, with an empty response, once its
	// entity's node has taken it in. It must have a caller's key: the answer is
	// asked for with Lookup.
	Async bool
	// Lookup asks for the stored answer of Key instead of sending a command: Command and Payload stay empty. The
	// error may also be of the kinds ErrRunning and ErrNotKnown.
	Lookup bool
	// Query tells that Command is a query, where the sender knows: a [Caller] far away
	// then makes no key for it. What it is, its type decides.
	Query bool
	// Principal tells who sends it, Cause what led to it, Trace is a W3C
	// traceparent. They are stored with the command; at most 256 bytes each.
	Principal, Cause, Trace string
}

// Response is the reply to a command or query.
type Response struct {
	// Payload is the reply's message, encoded. It is shared with repeats and must not be changed.
	Payload []byte
	Receipt Receipt
}

// Receipt tells more about an answer.
type Receipt struct {
	// Version is the entity's version after the command.
	Version uint64
	// Token stands for everything that the answer had seen. A read model that has
	// passed it shows one's own write.
	Token journal.Token
	// Repeated tells that the reply is the stored one of an earlier command with the same key.
	Repeated bool
}

// CommandKey identifies a command within its entity.
type CommandKey = shard.Key

// CallerKey is a key that the caller chose: valid UTF-8, 1 to 256 bytes without control characters.
func CallerKey(name string) CommandKey { return shard.Key{Kind: shard.CallerKey, Name: name} }
