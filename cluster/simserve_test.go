package cluster

import (
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/shardtest"
)

// serve takes a command in as entity.Host does.
func (p *simProcess) serve(req *entity.Request, left time.Duration, done func(*entity.Response, error)) {
	number := simShardOf(simIndex(req.ID), p.s.plan.shards)
	a := p.shards[number]
	if a == nil {
		done(nil, &entity.MovedError{Shard: number})
		return
	}
	c := &shardtest.Command{
		To: simEntity(simIndex(req.ID)), Name: req.Command, Payload: req.Payload, Key: req.Key, Query: req.Query, Local: req.Local,
		Attempt: req.Attempt, Trace: req.Trace, Deadline: p.wall() + int64(left),
	}
	if !c.Query {
		c.Hash = xxhash.Sum64(append([]byte(c.Name), c.Payload...))
	}
	answered := false
	c.Tag = func(x *shardtest.Answer) {
		if answered {
			p.s.fail("%s answers a command of #%s twice", a, req.Trace)
		}
		answered = true
		p.s.log("%s answers #%s: %s %s%s", a, req.Trace, x.Kind, x.Reply, x.Reason)
		done(simResult(number, x))
	}
	a.then(func(m *shardtest.Machine, now int64) { m.Command(now, c) })
}

// simResult makes an answer the caller's, as entity.Host does.
func simResult(number uint32, x *shardtest.Answer) (*entity.Response, error) {
	kind := entity.ErrUnavailable
	switch x.Kind {
	case shardtest.Reply:
		return &entity.Response{Payload: x.Reply}, nil
	case shardtest.Reject:
		return nil, &entity.Rejection{Code: x.Rejection.Code, Message: x.Rejection.Message}
	case shardtest.Moved:
		return nil, &entity.MovedError{Shard: number, Owner: x.Owner, Epoch: x.Epoch}
	case shardtest.Busy:
		kind = entity.ErrBusy
	case shardtest.Unknown:
		kind = entity.ErrUnknownOutcome
	case shardtest.Failed:
		kind = entity.ErrFailed
	}
	return nil, &entity.Error{Kind: kind, Reason: x.Reason}
}

// simKeys are the keys that a process gives commands, as entity.ClientKeys does.
type simKeys struct {
	client byte
	next   uint64
	open   [][]uint64 // by entity
}

func (k *simKeys) opened(of int, now int64) entity.CommandKey {
	k.next++
	k.open[of] = append(k.open[of], k.next)
	return entity.CommandKey{Kind: shardtest.ClientKey, Client: [16]byte{k.client}, Number: k.next, Oldest: k.open[of][0], Issued: now}
}

func (k *simKeys) closed(of int, number uint64) {
	for i, n := range k.open[of] {
		if n == number {
			k.open[of] = append(k.open[of][:i:i], k.open[of][i+1:]...)
			return
		}
	}
}
