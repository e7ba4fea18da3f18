package entity

import (
	"fmt"
	"time"

	"github.com/skerryhq/skerry/entity/internal/shard"
)

// A host of a cluster owns the shards that it is told to claim, one by one: Config.Ownership makes it such a
// host. Claims stand in the log, so a host that is told wrongly costs time and never an
// event. All methods return at once; what came of them is told to Config.Ownership.

// Ownership is something that happened to a shard of this host.
type Ownership struct {
	Shard uint32
	State OwnershipState
	// Owner wrote the newest claim known, the one of Epoch.
	Owner string
	Epoch uint64
	// Head is the newest record known.
	Head uint64
	// Reason is for people.
	Reason string
}

// OwnershipState is what an Ownership tells.
type OwnershipState uint8

// The states of a shard of a host.
const (
	// Prepared: the tail of the log is in memory, as far as it went; nothing is claimed.
	Prepared OwnershipState = iota + 1
	// Serving: the claim is in the log and commands are answered.
	Serving
	// Yielded: nothing is under way any more, and for a while nothing will be.
	Yielded
	// Resumed: nobody claimed while the shard had yielded; it serves on.
	Resumed
	// Fenced: another's claim is in the log. The host has dropped the shard.
	Fenced
	// Halted: the shard serves no more, and claiming it again would not help before somebody has looked at Reason.
	Halted
	// Abandoned: what was prepared was dropped, as it was told. What the shard was told between the two is lost.
	Abandoned
)

// String names the state for operators.
func (s OwnershipState) String() string {
	return [...]string{"elsewhere", "prepared", "serving", "yielded", "resumed", "fenced", "halted", "abandoned"}[s]
}

// MovedError tells that this host does not own the command's shard, or no more, and that the command did not and will not
// run here. It ends with the node of a cluster, which sends the command to the owner: callers never see it.
type MovedError struct {
	Shard uint32
	// Owner wrote the newest claim that this host knows, the one of Epoch; empty if it knows none.
	Owner string
	Epoch uint64
}

// Error implements error.
func (e *MovedError) Error() string {
	if e.Owner == "" {
		return fmt.Sprintf("shard %d is not on this node", e.Shard)
	}
	return fmt.Sprintf("shard %d belongs to %s since epoch %d", e.Shard, e.Owner, e.Epoch)
}

// Unwrap makes it ErrUnavailable to whom it reaches by mistake.
func (e *MovedError) Unwrap() error { return ErrUnavailable }

// Prepare takes the tail of a shard's log into memory, so that a claim which follows soon has little left to read.
// Until then commands are answered with a MovedError. It may be called again, to catch up.
func (h *Host) Prepare(number uint32) { h.begin(number, (*shard.Machine).Prepare) }

// Claim claims a shard, prepared or not. On a shard that this host serves it does nothing.
func (h *Host) Claim(number uint32) { h.begin(number, (*shard.Machine).Start) }

// Abandon drops what was prepared of a shard that is not claimed. It does nothing to any other.
func (h *Host) Abandon(number uint32) {
	if a := h.shards[number].Load(); a != nil {
		a.then(func(m *shard.Machine, now int64) { m.Abandon(now) })
	}
}

// Yield lets a shard end what is under way and then take up nothing for so long, in which another host may
// claim it without a fight.
func (h *Host) Yield(number uint32, pause time.Duration) {
	h.at(number, func(m *shard.Machine, now int64) { m.Yield(now, now+int64(pause)) })
}

// Look makes a shard look into the log for another's claim: somebody says that there is one.
func (h *Host) Look(number uint32) { h.at(number, (*shard.Machine).Look) }

// Flush makes a shard write now what its pages do not hold yet, so that another's take-over has less to read.
func (h *Host) Flush(number uint32) { h.at(number, (*shard.Machine).Flush) }

func (h *Host) at(number uint32, do func(*shard.Machine, int64)) {
	if a := h.shards[number].Load(); a != nil {
		a.then(do)
	}
}

// begin gives the shard an actor if it has none that may still serve.
func (h *Host) begin(number uint32, do func(*shard.Machine, int64)) {
	h.owning.Lock()
	defer h.owning.Unlock()
	if h.stopping.Load() {
		return
	}
	a := h.shards[number].Load()
	if a == nil || a.over.Load() {
		next := h.actors.spawnShard(h, number, false)
		h.shards[number].Store(next)
		h.retire(a) // after nobody can find it any more
		a = next
	}
	a.then(do)
}

// retire ends the actor of a shard that is fenced or halted: it has answered everything.
func (h *Host) retire(a *shardActor) {
	kept := h.retired[:0]
	for _, old := range h.retired {
		if !old.isStopped() {
			kept = append(kept, old)
		}
	}
	clear(h.retired[len(kept):])
	h.retired = kept
	if a != nil {
		h.actors.retire(a)
		h.retired = append(h.retired, a)
	}
}

// moved tells where the shard is, as far as this host knows.
func (h *Host) moved(number uint32, owner string, epoch uint64) error {
	switch {
	case h.cfg.Ownership != nil:
	case h.stopping.Load():
		return h.stopped(number)
	default: // there is no other node to ask
		return &Error{Kind: ErrUnavailable, Reason: (&MovedError{number, owner, epoch}).Error(), RetryAfter: time.Second}
	}
	return &MovedError{number, owner, epoch}
}

// tellMoves tells the node how a planned move goes.
func (a *shardActor) tellMoves(r *shard.Ready) {
	for _, x := range [...]struct {
		happened bool
		state    OwnershipState
	}{{r.Prepared, Prepared}, {r.Yielded, Yielded}, {r.Resumed, Resumed}} {
		if x.happened {
			a.tellOwnership(x.state)
		}
	}
}

// tellOwnership tells the node what happened to a shard. It runs in the shard's actor.
func (a *shardActor) tellOwnership(state OwnershipState) {
	if a.host.cfg.Ownership == nil {
		return
	}
	i := a.m.Info()
	a.host.cfg.Ownership(Ownership{Shard: a.number, State: state, Owner: i.Owner, Epoch: i.Epoch, Head: i.Head, Reason: i.Reason})
}
