// Package entity is what a service author writes with, and the runtime of one
// node below it: commands in, events out, nothing acknowledged that is not durable.
//
// An entity is a thing with an id that decides for itself: a lot, an account, a
// cart. Its definition is a table of pure functions, made once with [Define]:
//
//   - [On] makes a command: a handler (state, command) → (effect, reply, error). The
//     effect says which events to store ([Persist]) and which timers to arm ([Effect.Remind]);
//     an error made with [Reject] is the entity's no.
//   - [Query] makes a question that stores nothing.
//   - [Apply] says how one type of event changes the state.
//   - [Upcast] says how a stored event of an older type is read today.
//
// Handlers and apply rules do no I/O, read no clock and change nothing they were
// given. So the runtime may run them early, again, and on another node.
//
// Callers hold a [Ref] and get typed answers:
//
//	lot := auction.Lots.Ref(host, "42")
//	view, err := auction.PlaceBid.Ask(ctx, lot, &auctionv1.PlaceBid{…}, entity.Key(id))
//
// # What is promised
//
// A reply means that the command's events are on disk and that nobody can have
// decided otherwise meanwhile: answers are linearizable, those of queries too. All events of a
// command are stored together or not at all. A command has a key, given by the
// caller or made by the library: sent again, it gets its first answer, also
// after a crash, for as long as [Key] says. A timer takes effect exactly once,
// and no command overtakes one that is due. Anything that is not a reply is a
// [*Rejection] or an [*Error], whose kind says whether to try again.
//
// # How it runs
//
// Entities are spread over shards by a hash of type and id. Each shard has one
// log, one owner, and one actor that hosts a pure machine; each live entity is an
// actor below it and exists in memory only while it is used. A command is
// handled at once and its events are applied at once, for the next command to
// see; what the outside sees waits until they are stored. While one append is
// under way the next record gathers, so under load records grow instead of queues.
//
// [Start] runs the entities of a process over a journal; see [Config] for all
// limits and their defaults.
package entity
