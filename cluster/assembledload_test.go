package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
)

// account is the state of the entities that callers disturb. It tells how often each thing happened.
type account struct {
	Sum   int64
	Count int64
}

// after is the account when an amount was booked.
func (s account) after(amount int64) account { return account{s.Sum + amount, s.Count + 1} }

// refuses tells of an amount that is not booked: one below zero, every other time.
func (s account) refuses(amount int64) bool { return amount < 0 && s.Count%2 == 1 }

var (
	book = entity.On(func(s account, c entity.Command[*wrapperspb.Int64Value]) (entity.Effect, *wrapperspb.Int64Value, error) {
		if s.refuses(c.Msg.GetValue()) {
			return entity.None, nil, entity.Reject("odd", "the count is odd")
		}
		return entity.Persist(c.Msg), wrapperspb.Int64(s.after(c.Msg.GetValue()).Sum), nil
	})
	balance = entity.Query(func(s account, _ entity.Command[*emptypb.Empty]) (*wrapperspb.Int64Value, error) {
		return wrapperspb.Int64(s.Sum), nil
	})
	// arm has the account reminded: its value is the number of the call, which names the timer, and the delay.
	arm = entity.On(func(_ account, c entity.Command[*wrapperspb.UInt64Value]) (entity.Effect, *emptypb.Empty, error) {
		number, delay := armOf(c.Msg.GetValue())
		return entity.Persist(c.Msg).Remind(fmt.Sprint(number), c.Time.Add(delay), wrapperspb.String(fmt.Sprint(number))), &emptypb.Empty{}, nil
	})
	accounts = entity.Define[account]("account", book, balance, arm,
		entity.OnTimer(func(_ account, c entity.Command[*wrapperspb.StringValue]) (entity.Effect, *emptypb.Empty, error) {
			return entity.Persist(c.Msg), &emptypb.Empty{}, nil
		}),
		entity.Apply(func(s account, e *wrapperspb.Int64Value) account { return s.after(e.GetValue()) }),
		entity.Apply(func(s account, _ *wrapperspb.UInt64Value) account { return s }),
		entity.Apply(func(s account, _ *wrapperspb.StringValue) account { return s }),
	)
)

// mostDelay bounds the time to a timer.
const mostDelay = 40 * time.Second

func armValue(number int64, delay time.Duration) uint64 {
	return uint64(number)<<16 | uint64(delay.Milliseconds()) //nolint:gosec // both are small
}

func armOf(value uint64) (number int64, delay time.Duration) {
	return int64(value >> 16), time.Duration(value&0xffff) * time.Millisecond //nolint:gosec // as above
}

// action is what a caller does.
type action string

const (
	booking action = "book"
	asking  action = "balance"
	arming  action = "arm"
)

// answerKind is how a call ended.
type answerKind string

const (
	replied  answerKind = "replied"
	rejected answerKind = "rejected"
	never    answerKind = "never"
	unknown  answerKind = "unknown"
	failed   answerKind = "failed"
)

// deed is one command or query with all its repeats. Its number is its amount, but for the sign.
type deed struct {
	number int64
	of     string
	does   action
	amount int64
	delay  time.Duration
	key    string         // where the caller gives one
	told   bool           // the answer is asked for later
	local  bool           // the query may be stale,
	after  entity.Receipt // but not so stale
	tries  []try
}

// try is one call.
type try struct {
	through string // the process's incarnation
	began   time.Duration
	ended   time.Duration
	answer  answerKind
	sum     int64
	version uint64
	err     error
}

// history holds what callers did and heard.
type history struct {
	began time.Time
	next  atomic.Int64

	mu    sync.Mutex
	deeds []*deed
}

func newHistory() *history { return &history{began: time.Now()} }

// caller is one of a process, for as long as that runs.
type caller struct {
	a *assembly
	p *process
	r *rand.Rand
	// wrote is the receipt of the newest write, by account.
	wrote map[string]entity.Receipt
}

func (a *assembly) call(p *process, number int) {
	c := &caller{a: a, p: p, r: rand.New(rand.NewPCG(a.plan.Seed, uint64(p.slot.number*100+number))), wrote: map[string]entity.Receipt{}}
	for {
		p.think(c.r, a.plan.Think)
		if p.ctx.Err() != nil || a.calling.Err() != nil {
			return
		}
		d := c.draw()
		a.history.begin(d)
		got := a.try(p, d, c.patience(), false)
		if d.does != asking && got.Version > 0 {
			c.wrote[d.of] = got
		}
		if d.key != "" {
			c.again(d)
		}
	}
}

// again repeats a command through any nodes, twice at the same time now and then.
func (c *caller) again(d *deed) {
	for n := 1; n < maxTries && c.r.IntN(3) > 0; n++ {
		c.p.think(c.r, c.a.plan.Think)
		var both sync.WaitGroup
		for range 1 + c.r.IntN(5)/4 {
			if other := c.a.anyRunning(); other != nil {
				patience, looks := c.patience(), d.told && c.r.IntN(3) > 0
				both.Go(func() { c.a.try(other, d, patience, looks) })
			}
		}
		both.Wait()
	}
}

// maxTries bounds the repeats of a command.
const maxTries = 4

func (p *process) think(r *rand.Rand, average time.Duration) {
	timer := time.NewTimer(time.Duration(r.ExpFloat64() * float64(average)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.ctx.Done():
	case <-p.a.calling.Done():
	}
}

// longPatience is that of a call which must be answered when nothing but nodes come and go.
const longPatience = 5 * time.Second

func (c *caller) patience() time.Duration {
	return []time.Duration{200 * time.Millisecond, time.Second, longPatience, longPatience}[c.r.IntN(4)]
}

// draw makes a deed.
func (c *caller) draw() *deed {
	r := c.r
	d := &deed{number: c.a.history.next.Add(1), of: fmt.Sprint("a", r.IntN(c.a.plan.Entities))}
	switch n := r.IntN(20); {
	case n < 6:
		d.does, d.local = asking, n < 2
		d.after = c.wrote[d.of]
		return d
	case n < 8:
		// Some are due when no command comes any more that could remind the entity of them.
		d.does, d.delay = arming, time.Duration(r.Int64N(int64([]time.Duration{time.Second, 8 * time.Second, mostDelay}[r.IntN(3)]))).Truncate(time.Millisecond)
	default:
		d.does, d.amount = booking, d.number
		if r.IntN(4) == 0 {
			d.amount = -d.number
		}
	}
	if r.IntN(3) == 0 {
		d.key = fmt.Sprint("key ", d.number)
		d.told = d.does == booking && r.IntN(3) == 0
	}
	return d
}

func (h *history) begin(d *deed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deeds = append(h.deeds, d)
}

// try calls once through a process, and writes down what came of it; or it only looks for the answer.
func (a *assembly) try(p *process, d *deed, patience time.Duration, looks bool) entity.Receipt {
	x := try{through: p.node.Incarnation(), began: time.Since(a.history.began)}
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	var got entity.Receipt
	if looks {
		x.sum, x.err = d.look(ctx, p, &got)
	} else {
		x.sum, x.err = d.ask(ctx, p, &got)
	}
	x.version, x.ended = got.Version, time.Since(a.history.began)
	x.answer = kindOf(x.err)
	if a.plan.Calm && patience == longPatience && a.isWell(p) && x.mustBeAnswered() {
		a.complain("nothing but nodes come and go, and a call of %v is not answered: %s through %s: %v", patience, d.does, x.through, x.err)
	}
	a.history.mu.Lock()
	defer a.history.mu.Unlock()
	d.tries = append(d.tries, x)
	return got
}

// mustBeAnswered tells of a call that was not, other than by what was promised.
func (x try) mustBeAnswered() bool {
	isLookup := errors.Is(x.err, entity.ErrNotKnown) || errors.Is(x.err, entity.ErrRunning)
	return (x.answer == never || x.answer == unknown) && !isLookup && !errors.Is(x.err, errTold)
}

// errTold is the answer to a command that is told: nobody knows what becomes of it.
var errTold = fmt.Errorf("it was taken in: %w", entity.ErrUnknownOutcome)

func (d *deed) ask(ctx context.Context, p *process, got *entity.Receipt) (sum int64, err error) {
	ref := accounts.Ref(p, d.of)
	options := []entity.CallOption{entity.Receive(got)}
	if d.key != "" {
		options = append(options, entity.Key(d.key))
	}
	switch {
	case d.does == asking:
		return d.query(ctx, ref, got)
	case d.does == arming:
		_, err = arm.Ask(ctx, ref, wrapperspb.UInt64(armValue(d.number, d.delay)), options...)
		return 0, err
	case d.told:
		if _, err = book.Tell(ctx, ref, wrapperspb.Int64(d.amount), options...); err == nil {
			err = errTold
		}
		return 0, err
	default:
		said, err := book.Ask(ctx, ref, wrapperspb.Int64(d.amount), options...)
		return said.GetValue(), err
	}
}

// query asks for the balance; a local one, that has seen the caller's own last write.
func (d *deed) query(ctx context.Context, ref entity.Ref[account], got *entity.Receipt) (sum int64, err error) {
	options := []entity.QueryOption{entity.Receive(got)}
	if d.local {
		options = append(options, entity.Local)
	}
	if d.after.Version > 0 {
		options = append(options, entity.After(d.after.Token))
	}
	said, err := balance.Ask(ctx, ref, &emptypb.Empty{}, options...)
	return said.GetValue(), err
}

// look asks for the stored answer of a command with a key.
func (d *deed) look(ctx context.Context, p *process, got *entity.Receipt) (sum int64, err error) {
	said, err := entity.Result[*wrapperspb.Int64Value](ctx, accounts.Ref(p, d.of), d.key, entity.Receive(got))
	return said.GetValue(), err
}

func kindOf(err error) answerKind {
	var no *entity.Rejection
	switch {
	case err == nil:
		return replied
	case errors.As(err, &no):
		return rejected
	case errors.Is(err, entity.ErrUnavailable):
		return never
	case errors.Is(err, entity.ErrUnknownOutcome), errors.Is(err, entity.ErrNotKnown), errors.Is(err, entity.ErrRunning):
		return unknown
	}
	return failed
}
