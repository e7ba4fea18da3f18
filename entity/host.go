package entity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/skerryhq/skerry/entity/internal/shard"
	"github.com/skerryhq/skerry/journal"
)

// Host runs the entities of one node. It implements [Caller]. All methods may be
// called concurrently.
type Host struct {
	cfg     Config
	log     *slog.Logger
	types   map[string]Definition
	events  map[string]*eventList
	history string
	now     func() time.Time

	actors *actors
	shards []*shardActor
	slots  *slots
	gate   gate // of recoveries
	// What failed and is tried again has gates of its own: a part of the journal that is sick holds up nothing else.
	regate, repeats gate
	keys            *ClientKeys
	feed            *Feed

	// ctx ends when the host has stopped; work counts its goroutines.
	ctx    context.Context //nolint:containedctx // the life of the host, not of a call
	cancel context.CancelFunc
	work   sync.WaitGroup

	stopping     atomic.Bool
	stopOnce     sync.Once
	live         atomic.Int64
	liveBytes    atomic.Int64
	pendingBytes atomic.Int64
	troubles     troubles
}

// Start claims all shards of the journal and returns once they serve. ctx covers the
// start only. The journal stays the caller's: close it after Stop.
func Start(ctx context.Context, cfg Config) (*Host, error) {
	cfg, err := cfg.filled()
	if err != nil {
		return nil, err
	}
	h := &Host{
		cfg: cfg, log: cfg.Logger, now: cfg.Clock, types: map[string]Definition{},
		keys: NewClientKeys(), troubles: troubles{shards: map[uint32]bool{}, takers: map[string]bool{}}, gate: gate{free: maxRecoveries},
		regate: gate{free: maxRetries}, repeats: gate{free: maxRetries},
	}
	for _, t := range cfg.Types {
		h.types[t.Name()] = t
	}
	if err := h.settle(ctx); err != nil {
		return nil, err
	}
	h.gate.slow = &h.regate
	h.feed = newFeed(h.cfg.Journal, h.history, h.cfg.Shards, cfg.Types)
	reset, err := h.checkClock(ctx)
	if err != nil {
		return nil, err
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.slots = newSlots(h.cfg.MaxAppends)
	if h.cfg.MaxAppends == 0 {
		h.slots = newAdaptiveSlots(h.cfg.Shards)
	}
	h.actors = newActors(h.log)
	for i := range h.cfg.Shards {
		h.shards = append(h.shards, h.actors.spawnShard(h, uint32(i), reset))
	}
	if err := h.awaitServing(ctx); err != nil {
		_ = h.Stop(expired())
		return nil, err
	}
	return h, nil
}

// maxRecoveries bounds the entities that are rebuilt at a time.
const maxRecoveries = 32

// maxRetries bounds the appends of unknown outcome that are sent again at a time, and the recoveries.
const maxRetries = 4

// expired returns a context that has ended, for a stop that waits for nothing.
func expired() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// awaitServing waits until every shard serves, or says which does not and why.
func (h *Host) awaitServing(ctx context.Context) error {
	for _, a := range h.shards {
		select {
		case <-a.serving:
		case <-ctx.Done():
			return fmt.Errorf("entity: start: shard %d does not serve yet: %w", a.number, ctx.Err())
		}
		if why := a.failure; why != "" {
			return fmt.Errorf("entity: start: shard %d: %s", a.number, why)
		}
	}
	return nil
}

// Call implements [Caller].
func (h *Host) Call(ctx context.Context, req *Request) (*Response, error) {
	def, info, err := h.check(req)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, &Error{Kind: ErrUnavailable, Reason: "the caller had given up before it was sent", Cause: err}
	}
	c := newPending(req, def, info)
	now := h.now()
	c.Deadline = deadline(ctx, now)
	a := h.shards[h.shardOf(c.To)]
	if c.After, err = h.after(req, c.Query, a.number); err != nil {
		c.free()
		return nil, err
	}
	if err := h.admit(a, len(c.Payload)); err != nil {
		c.free()
		return nil, err
	}
	ours := !c.Query && c.Key.Kind == shard.NoKey
	if ours {
		c.Key = h.keys.Open(c.To, now)
	}
	key, to, size := c.Key, c.To, len(c.Payload)
	a.tell(c)
	if req.Async {
		return &Response{}, nil
	}
	resp, err := h.await(ctx, a, c)
	if ours {
		h.keys.Close(to, key)
	}
	h.pendingBytes.Add(-int64(size))
	return resp, err
}

// await waits for the answer, or for the caller to give up.
func (h *Host) await(ctx context.Context, a *shardActor, c *pending) (*Response, error) {
	select {
	case <-c.done:
	case <-a.stopped:
		select {
		case <-c.done: // answered before the shard ended
		default:
			return nil, &Error{Kind: ErrUnavailable, Reason: "the node has stopped", RetryAfter: time.Second}
		}
	case <-ctx.Done():
		select {
		case <-c.done: // the answer came at the same moment
		default:
			return nil, &Error{Kind: ErrUnknownOutcome, Reason: "the caller gave up waiting", Cause: ctx.Err()}
		}
	}
	ans := c.answer
	if ans.Released {
		c.free()
	}
	return h.result(a, &ans)
}

// admit counts a command in, unless its shard or the node has enough of them.
func (h *Host) admit(a *shardActor, size int) error {
	if h.stopping.Load() {
		return &Error{Kind: ErrUnavailable, Reason: "the node is shutting down", RetryAfter: time.Second}
	}
	if a.pending.Add(1) > int64(h.cfg.MaxPending) {
		a.pending.Add(-1)
		return &Error{Kind: ErrBusy, Reason: fmt.Sprintf("shard %d has %d unanswered commands already", a.number, h.cfg.MaxPending), RetryAfter: 100 * time.Millisecond}
	}
	if h.pendingBytes.Add(int64(size)) > int64(h.cfg.MaxPendingBytes) {
		h.pendingBytes.Add(-int64(size))
		a.pending.Add(-1)
		return &Error{Kind: ErrBusy, Reason: fmt.Sprintf("the unanswered commands of the node hold %d bytes already", h.cfg.MaxPendingBytes), RetryAfter: 100 * time.Millisecond}
	}
	return nil
}

// result makes an answer the caller's.
func (h *Host) result(a *shardActor, ans *shard.Answer) (*Response, error) {
	switch ans.Kind {
	case shard.Reply:
		return h.reply(a.number, ans), nil
	case shard.Reject:
		return nil, &Rejection{Code: ans.Rejection.Code, Message: ans.Rejection.Message, Version: ans.Version}
	}
	return nil, &Error{Kind: kinds[ans.Kind], Reason: ans.Reason, RetryAfter: retryAfter(ans)}
}

// reply is one allocation: every command pays for it.
func (h *Host) reply(number uint32, ans *shard.Answer) *Response {
	r := &struct {
		Response
		offsets [1]journal.ShardOffset
	}{offsets: [1]journal.ShardOffset{{Shard: number, Offset: ans.Offset}}}
	r.Response = Response{Payload: ans.Reply, Receipt: Receipt{
		Version: ans.Version, Repeated: ans.Repeated, Token: journal.Token{History: h.history, Offsets: r.offsets[:]},
	}}
	return &r.Response
}

var kinds = map[shard.AnswerKind]error{
	shard.Unavailable: ErrUnavailable,
	shard.Busy:        ErrBusy,
	shard.Unknown:     ErrUnknownOutcome,
	shard.Failed:      ErrFailed,
	shard.Moved:       ErrUnavailable, // there is no other node to ask
	shard.Running:     ErrRunning,
	shard.NotKnown:    ErrNotKnown,
}

func retryAfter(ans *shard.Answer) time.Duration {
	switch {
	case ans.RetryAfter > 0:
		return ans.RetryAfter
	case ans.Kind == shard.Unavailable || ans.Kind == shard.Busy || ans.Kind == shard.Moved:
		return time.Second
	}
	return 0
}

// Limits of a command's time.
const (
	defaultTimeout = 5 * time.Second
	maxTimeout     = 60 * time.Second
)

// deadline returns when the command's owner gives up, in Unix nanoseconds of the
// host's clock: a little before the caller does, so that the owner, who knows, can say what became of it.
func deadline(ctx context.Context, now time.Time) int64 {
	left := defaultTimeout
	if at, ok := ctx.Deadline(); ok {
		left = min(time.Until(at), maxTimeout)
		left -= min(left/10, 20*time.Millisecond)
	}
	return now.Add(left).UnixNano()
}

// Stop refuses new commands, answers those under way, writes what is derived and ends
// all actors. When ctx ends first, what is still waiting is answered as it stands:
// unavailable, or unknown where an append is in flight. A second call does nothing.
func (h *Host) Stop(ctx context.Context) error {
	var err error
	h.stopOnce.Do(func() { err = h.stop(ctx) })
	return err
}

func (h *Host) stop(ctx context.Context) error {
	h.stopping.Store(true)
	for _, a := range h.shards {
		a.tell(drain{})
	}
	var err error
	for i := 0; i < len(h.shards) && err == nil; i++ {
		select {
		case <-h.shards[i].drained:
		case <-ctx.Done():
			err = fmt.Errorf("entity: stop: shard %d is not drained: %w", h.shards[i].number, ctx.Err())
		}
	}
	stuck := h.actors.stop(h.shards)
	h.cancel()
	if stuck == nil {
		h.work.Wait()
	}
	return errors.Join(err, stuck)
}

// shardOf is the group rule "type/id": the shard is the hash of both.
func (h *Host) shardOf(of journal.Entity) uint32 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(of.Type)
	_, _ = d.WriteString("\x00")
	_, _ = d.WriteString(of.ID)
	return uint32(d.Sum64() % uint64(h.cfg.Shards)) //nolint:gosec // below the count of shards
}

// groupRule names shardOf in the journal. Another rule needs another name.
const groupRule = "type-id/xxhash64/1"
