package entity

import (
	"time"

	"github.com/skerryhq/skerry/entity/internal/shard"
	"github.com/skerryhq/skerry/journal"
)

// Deliver takes in a command or query that another node sends here, and calls done once with what [Host.Call] would return. It never
// blocks. done is called on the goroutine of the shard, or before Deliver returns, so it must return at
// once. The sender waits that much longer; it has given the command its key.
func (h *Host) Deliver(req *Request, remaining time.Duration, done func(*Response, error)) {
	def, info, err := h.check(req)
	if err != nil {
		done(nil, err)
		return
	}
	number := h.ShardOf(req.Type, req.ID)
	a := h.shards[number].Load()
	if a == nil {
		done(nil, h.moved(number, "", 0))
		return
	}
	c := h.newPending(req, def, info)
	c.Deadline = h.now().Add(ownersShare(min(max(remaining, 0), maxTimeout))).UnixNano()
	if c.After, err = h.after(req, c.Query, number); err == nil {
		err = h.admit(a, len(c.Payload))
	}
	if err != nil {
		c.free()
		done(nil, err)
		return
	}
	if req.Async {
		a.tell(c)
		done(&Response{}, nil)
		return
	}
	c.tell = done
	a.tell(c)
}

// report answers a command that another node has sent.
func (a *shardActor) report(c *pending, ans *shard.Answer) {
	a.host.pendingBytes.Add(-int64(len(c.Payload)))
	tell := c.tell
	if ans.Released {
		c.free()
	}
	tell(a.host.result(a, ans))
}

// ShardOf is the shard of an entity: the same on all nodes, for the journal's whole life.
func (h *Host) ShardOf(typ, id string) uint32 { return h.shardOf(journal.Entity{Type: typ, ID: id}) }
