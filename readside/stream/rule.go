package stream

import (
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Event is one committed event, as it is read today: an old one is upcast.
type Event[E proto.Message] struct {
	// Msg is the event. It must not be changed.
	Msg E
	// EntityType and EntityID name the entity.
	EntityType, EntityID string
	// Version is the entity's after this event. Pages compare by it: the higher one wins.
	Version uint64
	// Time is what the command's handler saw.
	Time time.Time
	// Shard and Offset are the event's place in the logs.
	Shard  uint32
	Offset uint64
}

// Fragment is one thing that pages learn from an event: an element of one of a message's lists.
type Fragment struct {
	// List is one of Config.Lists.
	List string
	// Topic is what clients ask for, such as "lot/42". A fragment without one goes to all clients.
	Topic string
	// Value becomes JSON: a message as protobuf's JSON, all else with encoding/json.
	//
	// Protobuf's JSON leaves out what is zero. Where a page merges fragments and must learn that a number has
	// become 0, the field must be optional in the message, or Value a struct.
	Value any
}

// Rule is made with [On].
type Rule struct {
	event  string
	render func(Event[proto.Message]) []Fragment
}

// On makes the rule for one type of event. The function is called once per event, whatever the
// number of clients, by several goroutines at once (one follows the logs, others let clients
// catch up). It has no state: what a page needs must be in the event.
func On[E proto.Message](render func(Event[E]) []Fragment) Rule {
	var e E
	return Rule{
		event: string(e.ProtoReflect().Descriptor().FullName()),
		render: func(ev Event[proto.Message]) []Fragment {
			return render(Event[E]{
				Msg: ev.Msg.(E), EntityType: ev.EntityType, EntityID: ev.EntityID, Version: ev.Version,
				Time: ev.Time, Shard: ev.Shard, Offset: ev.Offset,
			})
		},
	}
}

// toJSON returns a value as JSON on one line.
func toJSON(value any) ([]byte, error) {
	msg, ok := value.(proto.Message)
	if !ok {
		return json.Marshal(value)
	}
	b, err := protojson.Marshal(msg)
	if err != nil {
		return nil, fmt.Errorf("%s as JSON: %w", msg.ProtoReflect().Descriptor().FullName(), err)
	}
	return json.Marshal(json.RawMessage(b)) // takes out protojson's random spaces
}
