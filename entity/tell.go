package entity

import (
	"context"
	"crypto/rand"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity/internal/shard"
)

// Ticket stands for a command whose answer is asked for later.
type Ticket[R proto.Message] struct {
	key    string
	lookup func(ctx context.Context, c *call) (*Response, error)
}

// Key is the command's key. Whoever knows it may ask for the answer, from any process; see [Result].
func (t Ticket[R]) Key() string { return t.key }

// Result asks for the command's answer; see the function [Result].
func (t Ticket[R]) Result(ctx context.Context, opts ...ResultOption) (R, error) {
	return result[R](ctx, t.key, t.lookup, opts)
}

// Tell sends the command and returns once the entity's node has taken it in. That promises nothing: before an
// answer exists, the command may still be lost with the node. So ask for it with [Ticket.Result], and if it
// is not known, tell it again with the same key.
//
// The context's deadline is the command's, 5 s without one; its end does not call the
// command back. The key is that of [Key]; without one a random key is made. Whatever the entity answers,
// also its no, is stored under the key.
func (m *Method[S, C, R]) Tell(ctx context.Context, to Ref[S], cmd C, opts ...CallOption) (Ticket[R], error) {
	c := m.newCall(to, opts)
	if c.req.Key.Kind == shard.NoKey {
		c.req.Key = CallerKey(rand.Text())
	}
	c.req.Async = true
	ticket := Ticket[R]{c.req.Key.Name, to.lookup}
	payload, err := encoding.Marshal(cmd)
	if err != nil {
		return ticket, refuse(malformed, "encode %s: %v", c.req.Command, err)
	}
	c.req.Payload = payload
	_, err = to.caller.Call(ctx, &c.req)
	return ticket, err
}

// Result asks an entity for the stored answer to a command with the given key, sent by [Method.Tell]
// or by an Ask whose outcome is unknown. R is the reply's message: it must be that of the command.
//
// The error is a *[Rejection] if that is the stored answer. It wraps [ErrRunning] while the command is under
// way, and [ErrNotKnown] if the entity remembers no answer: the command was never stored, or so long
// ago that its answer is forgotten. Otherwise it is that of a query.
func Result[R proto.Message, S any](ctx context.Context, of Ref[S], key string, opts ...ResultOption) (R, error) {
	return result[R](ctx, key, of.lookup, opts)
}

// ResultOption changes a single request for an answer.
type ResultOption interface{ applyResult(*call) }

func result[R proto.Message](ctx context.Context, key string, lookup func(context.Context, *call) (*Response, error), opts []ResultOption) (R, error) {
	var none R
	c := &call{req: Request{Key: CallerKey(key), Lookup: true}}
	for _, o := range opts {
		o.applyResult(c)
	}
	resp, err := lookup(ctx, c)
	if err != nil {
		return none, err
	}
	return decodeReply[R](c, resp)
}

// lookup sends a request for a stored answer.
func (r Ref[S]) lookup(ctx context.Context, c *call) (*Response, error) {
	c.req.Type, c.req.ID = r.typ.name, r.id
	return r.caller.Call(ctx, &c.req)
}
