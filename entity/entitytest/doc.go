// Package entitytest tells what an entity does as a story: given what
// happened, when a command comes, then this follows.
//
//	entitytest.New(t, auction.Lots).
//		At(noon).
//		Given(&pb.LotOpened{ClosesAt: timestamppb.New(noon.Add(time.Hour))}).
//		GivenTimer("close", noon.Add(time.Hour), &pb.CloseLot{}).
//		When(&pb.PlaceBid{Bidder: "ann", Amount: 120}).
//		ThenEvents(&pb.BidPlaced{Bidder: "ann", Amount: 120}).
//		ThenReply(&pb.LotView{High: 120, Leader: "ann"}).
//		When(&pb.PlaceBid{Bidder: "bob", Amount: 120}).
//		ThenRejected("low").
//		WhenTimer("close").
//		ThenEvents(&pb.LotClosed{})
//
// Given arms no timers: events do not say which were armed with them. GivenTimer
// does. What was stored by earlier releases is given as it was stored: as a message of an old type,
// as bytes (GivenStored), or as a recorded history (GivenHistory). So a story tests upcasters too.
//
// A [Story] runs the pure functions of the entity's type; nothing has to be set
// up. Around each step it checks, without being asked,
// what the runtime relies on:
//
//   - The handler is a pure function: run again on the same input, and on a
//     state that went through a snapshot, it decides the same.
//   - Neither handler nor apply rule changes its input: state, command and
//     event are compared before and after, and once more at the story's end.
//   - An upcaster reads a stored event as the same event every time.
//   - Each command, event, reply and timer command survives encoding, as
//     protobuf and as JSON.
//   - Applying all events again from the start gives the state that applying
//     them one by one gave.
//   - The state survives a snapshot.
//   - A timer arms a command that the type answers.
//   - A "no" that the story does not expect fails the test.
//
// When the test ends, the whole story is told once more to a real
// [entity.Host] on an in-memory journal. The answers, the stored events, the timers and the state
// must be the same; each command is repeated with its key and must get its
// first answer; and so must a host that is started afresh on the same journal.
//
// A state is compared by what it means: a nil and an empty slice or map are
// the same, times are compared as instants, and a type with a MarshalJSON
// method by its JSON. A handler or an apply rule may append to a slice of the
// state: elements that the input state shows stay as they are, and a place
// behind its length belongs to nobody else, because the runtime never keeps two
// states that both follow from one. Writing to, sorting or deleting from a slice or map of
// the state is caught: copy it first (slices.Clone, maps.Clone, proto.Clone).
//
// A story belongs to one goroutine.
package entitytest
