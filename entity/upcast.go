package entity

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
)

// Upcast makes the rule by which a stored event of an older type is read as a newer one: a pure
// function, which leaves the old event as it was. Whoever reads events (apply rules, processors,
// operators) sees the newer one only. The log keeps what was stored.
//
//	entity.Upcast[Lot](func(old *pb.BidPlaced) *pb.BidTaken { … })
//
// One stored event is always read as exactly one: versions, offsets and tokens count stored
// events, and were given to callers and processors before the rule existed. An event that means nothing any more
// is read as one whose [Apply] rule returns the state as it is. Upcasters form chains: an event two
// types old goes through both rules, and the last type needs an Apply rule. No handler may persist
// an old type again.
func Upcast[S any, Old, New proto.Message](up func(Old) New) Rule[S] {
	var from Old
	var to New
	return &upcaster[S]{
		from:   nameOf(from),
		to:     nameOf(to),
		decode: decode[Old],
		up:     func(old proto.Message) proto.Message { return up(old.(Old)) },
	}
}

// upcaster is one such rule with the types of its events hidden.
type upcaster[S any] struct {
	from, to string
	decode   func(payload []byte) (proto.Message, error)
	up       func(proto.Message) proto.Message
}

func (u *upcaster[S]) addTo(t *Type[S]) {
	checkEvent(t.name, u.from)
	if other, ok := t.upcasters[u.from]; ok {
		panic(fmt.Sprintf("entity: type %q has two upcasters from %s, to %s and to %s", t.name, u.from, other.to, u.to))
	}
	t.upcasters[u.from] = u
	t.messages = append(t.messages, func() proto.Message { m, _ := u.decode(nil); return m })
}

// read takes an event one step further. A rule that breaks is an error, not a panic.
func (u *upcaster[S]) read(old proto.Message) (current proto.Message, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the upcaster from %s to %s panicked: %v", u.from, u.to, r)
		}
	}()
	current = u.up(old)
	if current == nil || !current.ProtoReflect().IsValid() {
		return nil, fmt.Errorf("the upcaster from %s to %s returned nil: it must return an event for every one that was ever stored", u.from, u.to)
	}
	return current, nil
}

// reader reads one type of stored event as what an apply rule takes.
type reader[S any] struct {
	decode func(payload []byte) (proto.Message, error)
	steps  []*upcaster[S]
	apply  *applier[S]
}

func (r *reader[S]) read(payload []byte) (proto.Message, error) {
	msg, err := r.decode(payload)
	for i := 0; err == nil && i < len(r.steps); i++ {
		msg, err = r.steps[i].read(msg)
	}
	return msg, err
}

// resolve finds a reader for each type of event that may be stored, once all rules are known.
func (t *Type[S]) resolve() {
	t.readers = map[string]*reader[S]{}
	for name, a := range t.appliers {
		t.readers[name] = &reader[S]{decode: a.decode, apply: a}
	}
	for _, from := range slices.Sorted(maps.Keys(t.upcasters)) {
		u := t.upcasters[from]
		if _, ok := t.appliers[from]; ok {
			panic(fmt.Sprintf("entity: type %q has a rule that applies %s and an upcaster from it: the rule would never run", t.name, from))
		}
		steps := t.chain(u)
		t.readers[from] = &reader[S]{decode: u.decode, steps: steps, apply: t.appliers[steps[len(steps)-1].to]}
	}
}

// chain returns the upcasters from u on, to the one whose event has an apply rule.
func (t *Type[S]) chain(u *upcaster[S]) []*upcaster[S] {
	var steps []*upcaster[S]
	path := []string{u.from}
	for next := u; next != nil; next = t.upcasters[next.to] {
		steps = append(steps, next)
		if slices.Contains(path, next.to) {
			panic(fmt.Sprintf("entity: the upcasters of type %q go in a circle: %s", t.name, strings.Join(append(path, next.to), " → ")))
		}
		path = append(path, next.to)
	}
	if last := path[len(path)-1]; t.appliers[last] == nil {
		panic(fmt.Sprintf("entity: type %q reads %s, but has no rule that applies %s: add entity.Apply for it", t.name, strings.Join(path, " → "), last))
	}
	return steps
}

// reader returns how a stored event is read, or an error that says what to do about it.
func (t *Type[S]) reader(event string) (*reader[S], error) {
	r, ok := t.readers[event]
	if !ok {
		return nil, fmt.Errorf("type %q cannot read the stored event %s: run a release that knows it, or add entity.Apply or entity.Upcast for it", t.name, event)
	}
	return r, nil
}

// unpersistable tells why an event may not be stored.
func (t *Type[S]) unpersistable(event string) error {
	if r, ok := t.readers[event]; ok {
		return fmt.Errorf("type %q has an upcaster from %s, which is only read: persist %s instead", t.name, event, r.apply.name)
	}
	return fmt.Errorf("type %q has no rule that applies %s: add entity.Apply for it", t.name, event)
}

// decode reads a payload as an event of type E.
func decode[E proto.Message](payload []byte) (proto.Message, error) {
	msg := newMessage[E]()
	return msg, proto.Unmarshal(payload, msg)
}

func nameOf(m proto.Message) string { return string(m.ProtoReflect().Descriptor().FullName()) }
