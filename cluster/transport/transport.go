package transport

import (
	"context"
	"time"

	"github.com/skerryhq/skerry/entity"
)

// Transport carries envelopes and streams between the nodes of a cluster. All
// methods may be called concurrently.
type Transport interface {
	// Self is this node, with the address at which peers reach it.
	Self() Peer

	// Serve hands what arrives to h. It is called once; what arrives before is answered unavailable.
	Serve(h Handler)

	// Send sends an envelope and calls done once with what came of it: on any goroutine,
	// perhaps before Send returns, and at the latest when the envelope's time is over and
	// [Tardiness] with it. Send never blocks, and done must return at once. Neither the envelope nor
	// what it points to may be changed after the call, not even after done.
	Send(to Peer, e *Envelope, done func(Answer))

	// Open opens a stream of bytes to a peer. What it is for is told by subject and request, at most
	// [MaxOpenBytes] together. It waits for a connection, but not for the peer: that it refuses is told by the
	// stream. When ctx ends, so does the stream.
	Open(ctx context.Context, to Peer, subject string, request []byte) (*Stream, error)

	// Disconnect fails at once whatever waits for the process of that name, for when it is known to be dead. It
	// forbids nothing: a later Send connects again.
	Disconnect(node string)

	// Close sends the answers that were given, fails what is under way and waits for the transport's
	// goroutines; handlers of streams must return when their stream ends. No done is called after it.
	Close() error
}

// Handler takes in what peers send.
type Handler interface {
	// Deliver takes in an envelope; [Incoming.Answer] answers it, then or later. It is called on the
	// goroutine that reads from the peer, in the order of sending, so it must return at once.
	Deliver(in *Incoming)

	// Accept serves a stream on a goroutine of its own; ctx ends with the stream. When it returns
	// nil the stream is closed after what was written, and when it returns an error it is aborted for that reason.
	Accept(ctx context.Context, s *Stream) error
}

// Peer is a process to speak to.
type Peer struct {
	// Node is the name of the process, other after each start. Where it is given, another process at
	// the address is not spoken to.
	Node string
	// Address is where it is reached.
	Address string
}

// String implements fmt.Stringer.
func (p Peer) String() string {
	if p.Node == "" {
		return p.Address
	}
	return p.Node + " at " + p.Address
}

// Envelope is a command, a query or a message between nodes, on its way to the node that answers it.
type Envelope struct {
	// Request is the command or query. Of a message between nodes only its payload counts.
	Request entity.Request
	// Subject makes the envelope a message between nodes: what it is about. Empty for commands and queries.
	Subject string
	// Remaining is how long the sender waits. On arrival it is what is left, without the time on the wire.
	Remaining time.Duration
	// Epoch is what the sender believes to be the epoch of the shard's owner; 0 if nothing.
	Epoch uint64
	// Destination is the process that is to answer, where the envelope is sent to another one that forwards it.
	// It goes through one such node at most.
	Destination string
	// Origin is the process that sent it at first, if it was forwarded.
	Origin string
}

// Answer is what came of an envelope.
type Answer struct {
	// Response is the reply if Err is nil.
	Response *entity.Response
	// Err is nil, an [*entity.Rejection], an [*entity.Error] or a [*Moved].
	Err error
}

// Incoming is an envelope that arrived.
type Incoming struct {
	Envelope
	// From is the peer that it came from.
	From Peer

	answerer answerer
	number   uint64
	size     int
	answered answeredFlag
}

// answerer sends answers back.
type answerer interface{ answer(in *Incoming, a Answer) }

// Answer answers the envelope. It never blocks and may be called on any goroutine; a second call does nothing.
func (in *Incoming) Answer(a Answer) {
	if in.answered.set() {
		in.answerer.answer(in, a)
	}
}

// Limits that are the same for all transports.
const (
	// Tardiness is how much later than an envelope's time its sender may be told that it is over.
	Tardiness = 100 * time.Millisecond
	// MaxOpenBytes limits what is told when a stream is opened.
	MaxOpenBytes = 32 << 10
	// StreamWindow is how many bytes of a stream may be on their way, in each direction.
	StreamWindow = 512 << 10
	// MaxName limits the bytes of names of nodes, clusters and histories, and of addresses and subjects.
	MaxName = 256
)
