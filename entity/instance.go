package entity

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity/internal/shard"
)

// instance is one live entity with the type of its state hidden. It is used by one
// goroutine at a time.
type instance interface {
	// apply takes in a stored event.
	apply(typ, payload []byte) error
	// restore takes a snapshot's state; encode makes one; show renders it as JSON.
	restore(state []byte) error
	encode() ([]byte, error)
	show() ([]byte, error)
	// handle runs one command and fills out with what came of it.
	handle(out *shard.Handled, maxEntry int)
}

func (t *Type[S]) newInstance(id string, listed *eventList) instance {
	return &typed[S]{t: t, id: id, listed: listed, state: t.Initial()}
}

// typed is the instance of a Type[S].
type typed[S any] struct {
	t      *Type[S]
	id     string
	listed *eventList // nil: it handles no commands
	state  S
}

func (x *typed[S]) apply(typ, payload []byte) (err error) {
	r, ok := x.t.readers[string(typ)]
	if !ok {
		_, err := x.t.reader(string(typ))
		return err
	}
	msg, err := r.read(payload)
	if err != nil {
		return fmt.Errorf("decode the stored event %s: %w", typ, err)
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("applying the stored event %s panicked: %v", typ, r)
		}
	}()
	x.state = r.apply.apply(x.state, msg)
	return nil
}

func (x *typed[S]) restore(state []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decoding the state panicked: %v", r)
		}
	}()
	s, err := x.t.codec.decode(state)
	if err == nil {
		x.state = s
	}
	return err
}

func (x *typed[S]) encode() (state []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("encoding the state panicked: %v", r)
		}
	}()
	return x.t.codec.encode(x.state)
}

func (x *typed[S]) show() ([]byte, error) { return x.t.codec.show(x.state) }

// handle runs the handler and the apply rules. The state changes only if all
// of it went well.
func (x *typed[S]) handle(out *shard.Handled, maxEntry int) {
	returned := false // not after a panic, nor after runtime.Goexit
	defer func() {
		if r := recover(); r != nil || !returned {
			*out = shard.Handled{
				Handle: out.Handle, Rebuild: true, Stack: debug.Stack(),
				Failure: fmt.Sprintf("%s of %s %q panicked: %v", out.Handle.Command.Name, x.t.name, x.id, r),
			}
		}
	}()
	x.decide(out, maxEntry)
	returned = true
}

func (x *typed[S]) decide(out *shard.Handled, maxEntry int) {
	h := &out.Handle
	if h.No != nil {
		x.reject(out, h.No)
		return
	}
	m, ok := x.t.methods[h.Command.Name]
	if !ok {
		x.fail(out, fmt.Errorf("the type answers no such command"))
		return
	}
	effect, reply, err := m.call(x.state, h.Command.Payload, Moment{
		EntityID: x.id, Time: time.Unix(0, h.Time).UTC(), Version: h.Version, Principal: h.Command.Principal, Timer: timerOf(h),
	})
	var no *Rejection
	switch {
	case errors.As(err, &no):
		x.reject(out, &shard.Rejection{Code: no.Code, Message: no.Message})
	case err != nil:
		x.fail(out, err)
	case m.info.Query:
		if out.Reply, err = encoding.Marshal(reply); err != nil {
			x.fail(out, err)
		}
	default:
		x.store(out, effect, reply, maxEntry)
		out.Rebuild = out.Failure != "" || out.Rejection != nil // a rule may have changed the state in place
	}
}

func timerOf(h *shard.Handle) string {
	if h.Command.Key.Kind == shard.TimerKey {
		return h.Command.Key.Name
	}
	return ""
}

func (x *typed[S]) fail(out *shard.Handled, err error) {
	var unlisted unlistedError
	out.Unavailable = errors.As(err, &unlisted)
	out.Failure = fmt.Sprintf("%s of %s %q: %v", out.Handle.Command.Name, x.t.name, x.id, err)
}

// reject answers no. It is stored only where the no has to be final.
func (x *typed[S]) reject(out *shard.Handled, no *shard.Rejection) {
	no = &shard.Rejection{Code: storable(no.Code), Message: storable(no.Message)}
	out.Rejection = no
	if out.Handle.StoreNo && !out.Handle.Command.Query {
		out.Entry = shard.EncodeEntry(&out.Handle, &shard.Outcome{Rejection: no})
	}
}

// storable makes a handler's text what the journal can hold: valid UTF-8, and short.
func storable(text string) string {
	const most = 4 << 10
	if len(text) > most {
		text = text[:most]
	}
	return strings.ToValidUTF8(text, "\ufffd")
}

// store encodes effect and reply as one entry, and applies the events.
func (x *typed[S]) store(out *shard.Handled, effect Effect, reply proto.Message, maxEntry int) {
	var o shard.Outcome
	var err error
	if o.Reply, err = encoding.Marshal(reply); err != nil {
		x.fail(out, fmt.Errorf("encode the reply: %w", err))
		return
	}
	state := x.state
	if len(effect.events) > 0 {
		o.Events = make([]shard.Event, 0, len(effect.events))
		for _, ev := range effect.events {
			if state, err = x.take(state, ev, &o); err != nil {
				x.fail(out, err)
				return
			}
		}
	}
	if err := x.timers(&out.Handle, effect, &o); err != nil {
		x.fail(out, err)
		return
	}
	entry := shard.EncodeEntry(&out.Handle, &o)
	if len(entry) > maxEntry {
		x.reject(out, &shard.Rejection{Code: shard.CodeTooLarge, Message: fmt.Sprintf(
			"what the command would store has %d bytes; at most %d fit", len(entry), maxEntry)})
		return
	}
	x.state = state
	out.Entry, out.Reply, out.Events, out.Arms, out.Cancels = entry, o.Reply, len(o.Events), o.Arms, o.Cancels
}

// take applies one event and adds its encoding. The first event of its type waits here until the
// journal lists it.
func (x *typed[S]) take(state S, ev proto.Message, o *shard.Outcome) (S, error) {
	name := nameOf(ev)
	a, ok := x.t.appliers[name]
	if !ok {
		return state, x.t.unpersistable(name)
	}
	if err := x.listed.list(a.number); err != nil {
		return state, err
	}
	payload, err := encoding.Marshal(ev)
	if err != nil {
		return state, fmt.Errorf("encode %s: %w", name, err)
	}
	o.Events = append(o.Events, shard.Event{Type: a.name, Payload: payload})
	return a.apply(state, ev), nil
}

// maxTimers bounds the timers that one command changes.
const maxTimers = 1000

// maxPending bounds the pending timers of one entity.
const maxPending = 10_000

// timers checks and encodes what an effect does to the entity's timers.
func (x *typed[S]) timers(h *shard.Handle, effect Effect, o *shard.Outcome) error {
	if h.Pending+len(effect.arms) > maxPending && len(effect.arms) > 0 {
		return fmt.Errorf("it would have more than %d timers pending", maxPending)
	}
	if len(effect.arms)+len(effect.cancels) > maxTimers {
		return fmt.Errorf("it changes %d timers; at most %d are allowed in one command", len(effect.arms)+len(effect.cancels), maxTimers)
	}
	for _, a := range effect.arms {
		if err := checkName("name of a timer", a.Name); err != nil {
			return err
		}
		name := string(a.Command.ProtoReflect().Descriptor().FullName())
		m, ok := x.t.methods[name]
		if !ok || m.info.Query {
			return fmt.Errorf("the timer %q would send %s, which is no command of type %q", a.Name, name, x.t.name)
		}
		payload, err := encoding.Marshal(a.Command)
		if err != nil {
			return fmt.Errorf("encode %s: %w", name, err)
		}
		o.Arms = slices.DeleteFunc(o.Arms, func(b shard.Arm) bool { return b.Name == a.Name }) // the last one counts
		o.Arms = append(o.Arms, shard.Arm{Name: a.Name, Due: dueNs(a.At), Command: name, Payload: payload})
	}
	for _, name := range effect.cancels {
		if err := checkName("name of a timer", name); err != nil {
			return err
		}
	}
	o.Cancels = effect.cancels
	return nil
}

var (
	earliestDue = time.Unix(0, 1)
	latestDue   = time.Unix(0, 1<<63-1)
)

// dueNs clamps a time to what nanoseconds since 1970 can tell (until 2262).
func dueNs(t time.Time) int64 {
	switch {
	case t.Before(earliestDue):
		return earliestDue.UnixNano()
	case t.After(latestDue):
		return latestDue.UnixNano()
	}
	return t.UnixNano()
}
