package entity

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"
)

// Method is a command of entities with state S: it takes a C and answers an R.
type Method[S any, C, R proto.Message] struct{ *method[S] }

// QueryMethod is a query of entities with state S: it takes a C, answers an R and stores nothing.
type QueryMethod[S any, C, R proto.Message] struct{ *method[S] }

// Ref is the address of one entity together with a way to reach it. It is a
// cheap value; making one touches nothing.
type Ref[S any] struct {
	caller Caller
	typ    *Type[S]
	id     string
}

// Ref addresses the entity with the given id through a caller. A wrong id is reported by the call.
func (t *Type[S]) Ref(c Caller, id string) Ref[S] { return Ref[S]{c, t, id} }

// ID returns the entity's id.
func (r Ref[S]) ID() string { return r.id }

// Ask sends the command and waits for its answer. When it returns nil, the
// reply and all events of the command are durable. The error is a *[Rejection] or
// wraps one of [ErrUnavailable], [ErrUnknownOutcome] and [ErrFailed].
func (m *Method[S, C, R]) Ask(ctx context.Context, to Ref[S], cmd C, opts ...CallOption) (R, error) {
	c := m.newCall(to, opts)
	return ask[R](ctx, to.caller, c, cmd)
}

func (m *Method[S, C, R]) newCall(to Ref[S], opts []CallOption) *call {
	c := &call{req: Request{Type: to.typ.name, ID: to.id, Command: m.info.Name}}
	for _, o := range opts {
		o.applyCall(c)
	}
	return c
}

// Ask sends the query and waits for its answer. The answer holds everything that any
// caller was told before the query was sent, unless it is asked for [Local].
func (m *QueryMethod[S, C, R]) Ask(ctx context.Context, to Ref[S], query C, opts ...QueryOption) (R, error) {
	c := call{req: Request{Type: to.typ.name, ID: to.id, Command: m.info.Name, Query: true}}
	for _, o := range opts {
		o.applyQuery(&c)
	}
	return ask[R](ctx, to.caller, &c, query)
}

func ask[R proto.Message](ctx context.Context, to Caller, c *call, msg proto.Message) (R, error) {
	var none R
	payload, err := encoding.Marshal(msg)
	if err != nil {
		return none, refuse(malformed, "encode %s: %v", c.req.Command, err)
	}
	c.req.Payload = payload
	resp, err := to.Call(ctx, &c.req)
	if err != nil {
		return none, err
	}
	return decodeReply[R](c, resp)
}

func decodeReply[R proto.Message](c *call, resp *Response) (R, error) {
	var none, reply R
	reply = reply.ProtoReflect().New().Interface().(R)
	if err := proto.Unmarshal(resp.Payload, reply); err != nil {
		return none, fmt.Errorf("entity: decode the reply to %s: %w", c.req.Command, err)
	}
	if c.receipt != nil {
		*c.receipt = resp.Receipt
	}
	return reply, nil
}

// encoding is deterministic so that the same command gives the same bytes, and so the same hash.
var encoding = proto.MarshalOptions{Deterministic: true}
