package entity

import "github.com/skerryhq/skerry/journal"

// CallOption changes a single call.
type CallOption interface{ applyCall(*call) }

// QueryOption changes a single query.
type QueryOption interface{ applyQuery(*call) }

// Option is good for commands and for queries.
type Option interface {
	ResultOption
	CallOption
	QueryOption
}

// call is what options change.
type call struct {
	req     Request
	receipt *Receipt
}

type commandOption func(*call)

func (o commandOption) applyCall(c *call) { o(c) }

type queryOption func(*call)

func (o queryOption) applyQuery(c *call) { o(c) }

type anyOption func(*call)

func (o anyOption) applyCall(c *call)  { o(c) }
func (o anyOption) applyQuery(c *call) { o(c) }

func (o anyOption) applyResult(c *call) { o(c) }

// Key names the command, so that sending it again gets the first answer
// instead of a second effect. It is kept for 120 s at least and for up to 24 h
// while there is room. Without it the library makes one that covers the call
// and its own repeats.
func Key(k string) CallOption {
	return commandOption(func(c *call) { c.req.Key = CallerKey(k) })
}

// IfVersion lets the command run only at the given version of the entity;
// at another it is rejected with ErrVersionMismatch. 0 means: only if the entity is new.
func IfVersion(v uint64) CallOption {
	return commandOption(func(c *call) { c.req.IfVersion = &v })
}

// Receive fills r when the reply has come.
func Receive(r *Receipt) Option {
	return anyOption(func(c *call) { c.receipt = r })
}

// Local lets a query be answered without asking the journal whether this node still
// owns the entity. The answer is never dirty but may be stale.
var Local QueryOption = queryOption(func(c *call) { c.req.Local = true })

// After lets a query be answered only from a state that has seen everything that the token
// stands for: one's own write, read back. Queries see that anyway; with [Local] it bounds how stale
// they may be. A token of another history is rejected with ErrMalformed.
func After(t journal.Token) QueryOption {
	return queryOption(func(c *call) { c.req.After = t })
}

// As tells on whose behalf the command is sent. It is stored with it.
func As(principal string) Option {
	return anyOption(func(c *call) { c.req.Principal = principal })
}

// Because tells what led to the command. It is stored with it.
func Because(cause string) Option {
	return anyOption(func(c *call) { c.req.Cause = cause })
}

// Traced passes a W3C traceparent on. It is stored with the command.
func Traced(traceparent string) Option {
	return anyOption(func(c *call) { c.req.Trace = traceparent })
}
