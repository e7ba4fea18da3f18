package entity

import (
	"time"

	"google.golang.org/protobuf/proto"
)

// Effect is what a command does to its entity: events to store, timers to arm
// and to cancel. All of one effect is stored together or not at all. It is a value;
// its methods return a changed copy.
type Effect struct {
	events  []proto.Message
	arms    []Arming
	cancels []string
}

// Arming is a timer that an effect makes pending.
type Arming struct {
	// Name identifies the timer within its entity.
	Name string
	// At is when it is due.
	At time.Time
	// Command is what the entity gets then.
	Command proto.Message
}

// None is the effect that changes nothing.
var None Effect

// Persist stores events. They are applied in the order given and become
// visible together.
func Persist(events ...proto.Message) Effect { return Effect{events: events} }

// Remind arms a durable timer: once at has passed, and before any command that
// sees a later time, the entity gets cmd, exactly once in effect. A pending timer of
// the same name is replaced. What the command answers ends the timer, a rejection
// too (it is recorded as fired); a failing one is retried with growing pauses.
func (e Effect) Remind(name string, at time.Time, cmd proto.Message) Effect {
	e.arms = append(e.arms[:len(e.arms):len(e.arms)], Arming{Name: name, At: at, Command: cmd})
	return e
}

// Cancel makes the timer of that name no longer pending. Without one it does nothing.
// Where one effect cancels and arms the same name, the timer is armed.
func (e Effect) Cancel(name string) Effect {
	e.cancels = append(e.cancels[:len(e.cancels):len(e.cancels)], name)
	return e
}

// Events returns the events that the effect stores.
func (e Effect) Events() []proto.Message { return e.events }

// Armings returns the timers that the effect arms.
func (e Effect) Armings() []Arming { return e.arms }

// Cancels returns the names of the timers that the effect cancels.
func (e Effect) Cancels() []string { return e.cancels }
