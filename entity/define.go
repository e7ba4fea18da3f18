package entity

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
)

// Type is the definition of one type of entity, with state S: what it answers
// and how events change it. It is made once by [Define] and never changes.
type Type[S any] struct {
	name      string
	codec     codec[S]
	methods   map[string]*method[S] // by full and by short name
	infos     []CommandInfo
	appliers  map[string]*applier[S]
	events    []string // that have an applier, by its number
	upcasters map[string]*upcaster[S]
	readers   map[string]*reader[S] // of all events that may be stored
	messages  []func() proto.Message
}

// Definition is a [Type] of any state.
type Definition interface {
	// Name is the type's name, as in addresses and in the journal.
	Name() string
	// Commands lists what entities of the type answer, by name.
	Commands() []CommandInfo
	// Current names the event that a stored event is read as today: the stored one, or what
	// it is upcast to. It is empty if the type applies no such event.
	Current(event string) string
	// Decode reads a stored event as its current one.
	Decode(event string, payload []byte) (proto.Message, error)

	hosted
}

// hosted is what a host needs of a Definition: the one that Define makes.
type hosted interface {
	lookup(command string) (*CommandInfo, bool)
	newInstance(id string, listed *eventList) instance
	// fingerprint names the shape of the state in snapshots.
	fingerprint() string
	// persistable names the events that handlers may store, by their appliers' numbers.
	persistable() []string
}

// CommandInfo describes one command or query of a type.
type CommandInfo struct {
	// Name is the full name of the command's message, such as "auction.v1.PlaceBid".
	Name string
	// Short is its last part, such as "PlaceBid".
	Short string
	// Query tells that it stores nothing.
	Query bool
	// TimerOnly tells that callers are refused; see [OnTimer].
	TimerOnly bool
	// NewCommand and NewReply return empty messages.
	NewCommand, NewReply func() proto.Message
}

// Rule is one part of a definition: a [Method], a [QueryMethod], what [Apply] or [Upcast]
// returns, or a setting.
type Rule[S any] interface{ addTo(*Type[S]) }

// Define makes a type of entity. The name is stored with each entity and must never
// change. A new entity has the zero S. The state is stored in snapshots as protobuf if S is a
// message (a pointer type), otherwise as JSON of its exported fields.
//
// Define panics on a wrong definition: a name that is not usable, two methods
// for one message, two rules for one event, upcasters that go in a circle or end in an event
// that nothing applies, a state that no snapshot can hold. The order of rules means nothing.
func Define[S any](name string, rules ...Rule[S]) *Type[S] {
	if err := checkName("type", name); err != nil {
		panic("entity: Define: " + err.Error())
	}
	t := &Type[S]{name: name, methods: map[string]*method[S]{}, appliers: map[string]*applier[S]{}, upcasters: map[string]*upcaster[S]{}}
	t.codec = codecFor[S](name)
	for _, r := range rules {
		r.addTo(t)
	}
	t.resolve()
	slices.SortFunc(t.infos, func(a, b CommandInfo) int { return strings.Compare(a.Name, b.Name) })
	return t
}

// Name implements Definition.
func (t *Type[S]) Name() string { return t.name }

// Commands implements Definition.
func (t *Type[S]) Commands() []CommandInfo { return slices.Clone(t.infos) }

// Initial returns the state of an entity without events.
func (t *Type[S]) Initial() S { return t.codec.initial() }

// Messages returns an empty message of each kind that the type uses: commands, replies, and events, old ones too.
func (t *Type[S]) Messages() []proto.Message {
	var out []proto.Message
	for _, m := range t.messages {
		out = append(out, m())
	}
	return out
}

// Current implements Definition.
func (t *Type[S]) Current(event string) string {
	if r, ok := t.readers[event]; ok {
		return r.apply.name
	}
	return ""
}

// Decode implements Definition.
func (t *Type[S]) Decode(event string, payload []byte) (proto.Message, error) {
	r, err := t.reader(event)
	if err != nil {
		return nil, err
	}
	msg, err := r.read(payload)
	if err != nil {
		return nil, fmt.Errorf("type %q: decode the stored event %s: %w", t.name, event, err)
	}
	return msg, nil
}

func (t *Type[S]) lookup(command string) (*CommandInfo, bool) {
	m, ok := t.methods[command]
	if !ok {
		return nil, false
	}
	return m.info, true
}

func (t *Type[S]) fingerprint() string { return t.codec.fingerprint }

func (t *Type[S]) persistable() []string { return t.events }

// Command is what a handler gets: the message, and what it may know beside the state.
type Command[C any] struct {
	// Msg is the command. The handler may keep it but must not change it.
	Msg C
	// EntityID is the id of the entity that handles it.
	EntityID string
	// Time is the command's time: it never falls within an entity's shard, and no timer of
	// the entity that is due at or before it is still waiting. Use it for the clock.
	Time time.Time
	// Version counts the entity's events so far; 0 means that it is new.
	Version uint64
	// Principal tells who sent the command, as far as the caller said so.
	Principal string
	// Timer is the name of the timer that sent the command; empty if a caller did.
	Timer string
}

// Moment is the part of a [Command] beside its message.
type Moment struct {
	EntityID  string
	Time      time.Time
	Version   uint64
	Principal string
	Timer     string
}

// method is one command or query with the types of its messages hidden.
type method[S any] struct {
	info *CommandInfo
	call func(state S, payload []byte, at Moment) (Effect, proto.Message, error)
	msg  func(state S, msg proto.Message, at Moment) (Effect, proto.Message, error)
}

// applier is one apply rule with the type of its event hidden.
type applier[S any] struct {
	name   string
	number int // among those of its type
	apply  func(S, proto.Message) S
	decode func(payload []byte) (proto.Message, error)
}

// On makes a method of a command: a pure function of state and command that
// returns the effect, the reply, and an error: one made by [Reject] is the entity's no, any other
// is a failure. It must not do I/O, read clocks or change the state.
func On[S any, C, R proto.Message](handle func(S, Command[C]) (Effect, R, error)) *Method[S, C, R] {
	return &Method[S, C, R]{newMethod[S, C, R](false, handle)}
}

// OnTimer is [On] for a command that only the entity's own timers send: callers
// are refused with ErrUnknownCommand. A timer may also send a command made with On, which is then
// open to callers too.
func OnTimer[S any, C, R proto.Message](handle func(S, Command[C]) (Effect, R, error)) Rule[S] {
	m := newMethod[S, C, R](false, handle)
	m.info.TimerOnly = true
	return m
}

// Query makes a method that reads the state and stores nothing.
func Query[S any, C, R proto.Message](handle func(S, Command[C]) (R, error)) *QueryMethod[S, C, R] {
	return &QueryMethod[S, C, R]{newMethod[S, C, R](true, func(s S, c Command[C]) (Effect, R, error) {
		reply, err := handle(s, c)
		return None, reply, err
	})}
}

func newMethod[S any, C, R proto.Message](query bool, handle func(S, Command[C]) (Effect, R, error)) *method[S] {
	var c C
	desc := c.ProtoReflect().Descriptor()
	run := func(state S, msg C, at Moment) (Effect, proto.Message, error) {
		effect, reply, err := handle(state, Command[C]{Msg: msg, EntityID: at.EntityID, Time: at.Time, Version: at.Version, Principal: at.Principal, Timer: at.Timer})
		var no *Rejection
		switch {
		case errors.As(err, &no) && strings.HasPrefix(no.Code, reservedCode):
			return None, nil, fmt.Errorf("it rejected with %q, a code of the runtime: use entity.Reject", no.Code)
		case err != nil:
			return None, nil, err
		}
		return effect, reply, nil
	}
	return &method[S]{
		info: &CommandInfo{
			Name: string(desc.FullName()), Short: string(desc.Name()), Query: query,
			NewCommand: newMessage[C], NewReply: newMessage[R],
		},
		call: func(state S, payload []byte, at Moment) (Effect, proto.Message, error) {
			msg := c.ProtoReflect().New().Interface().(C)
			if err := proto.Unmarshal(payload, msg); err != nil {
				return None, nil, refuse(malformed, "%s: %v", desc.FullName(), err)
			}
			return run(state, msg, at)
		},
		msg: func(state S, msg proto.Message, at Moment) (Effect, proto.Message, error) {
			return run(state, msg.(C), at)
		},
	}
}

func newMessage[M proto.Message]() proto.Message {
	var m M
	return m.ProtoReflect().New().Interface()
}

func (m *method[S]) addTo(t *Type[S]) {
	if _, ok := t.methods[m.info.Name]; ok {
		panic(fmt.Sprintf("entity: type %q has two methods for %s: a message belongs to one method of a type", t.name, m.info.Name))
	}
	if other, ok := t.methods[m.info.Short]; ok {
		panic(fmt.Sprintf("entity: type %q answers %s and %s: give one of them another last name, callers use it", t.name, m.info.Name, other.info.Name))
	}
	t.methods[m.info.Name], t.methods[m.info.Short] = m, m
	t.infos = append(t.infos, *m.info)
	t.messages = append(t.messages, m.info.NewCommand, m.info.NewReply)
}

// Apply makes the rule by which one type of event changes the state: a pure function
// that returns the new state and leaves the old one as it was. It cannot fail: what may not
// happen is refused by the handler, before it is an event.
func Apply[S any, E proto.Message](apply func(S, E) S) Rule[S] {
	var e E
	return &applier[S]{
		name:   nameOf(e),
		apply:  func(s S, msg proto.Message) S { return apply(s, msg.(E)) },
		decode: decode[E],
	}
}

func (a *applier[S]) addTo(t *Type[S]) {
	if _, ok := t.appliers[a.name]; ok {
		panic(fmt.Sprintf("entity: type %q has two rules that apply %s", t.name, a.name))
	}
	checkEvent(t.name, a.name)
	a.number = len(t.events)
	t.events = append(t.events, a.name)
	t.appliers[a.name] = a
	t.messages = append(t.messages, func() proto.Message { m, _ := a.decode(nil); return m })
}

// Decide runs the handler of msg on a state, as the runtime would, without
// storing anything. It is meant for tests and tools.
func (t *Type[S]) Decide(state S, msg proto.Message, at Moment) (Effect, proto.Message, error) {
	m, ok := t.methods[string(msg.ProtoReflect().Descriptor().FullName())]
	if !ok {
		return None, nil, unknownCommand(t, string(msg.ProtoReflect().Descriptor().FullName()))
	}
	return m.msg(state, msg, at)
}

// Evolve applies one event to a state, as the runtime would.
func (t *Type[S]) Evolve(state S, event proto.Message) (S, error) {
	name := nameOf(event)
	a, ok := t.appliers[name]
	if !ok {
		return state, fmt.Errorf("entity: %w", t.unpersistable(name))
	}
	return a.apply(state, event), nil
}

// maxName limits the bytes of types and ids.
const maxName = 512

// checkName tells what is wrong with a type's or an entity's name.
func checkName(what, name string) error {
	switch {
	case name == "":
		return refuse(malformed, "the %s is empty", what)
	case len(name) > maxName:
		return refuse(malformed, "the %s has %d bytes; at most %d are allowed", what, len(name), maxName)
	case !utf8.ValidString(name):
		return refuse(malformed, "the %s is not valid UTF-8", what)
	case strings.ContainsFunc(name, unicode.IsControl):
		return refuse(malformed, "the %s %q has a control character", what, name)
	}
	return nil
}
