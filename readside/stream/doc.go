// Package stream sends committed events to browsers, live, as server-sent events: a page that shows
// lots sees each bid as it is stored, and a page that lost its connection goes on where it stopped.
//
// A [Stream] is an http.Handler over a [Source], such as a host's Feed. The service says with one
// rule per type of event what pages learn from it:
//
//	lots, err := stream.New(stream.Config{
//		Source: host.Feed(),
//		Name:   "lots",
//		Lists:  []string{"rows", "bids"},
//		Rules: []stream.Rule{
//			stream.On(func(ev stream.Event[*auctionv1.BidTaken]) []stream.Fragment {
//				return []stream.Fragment{{List: "rows", Topic: "lot/" + ev.EntityID, Value: rowOf(ev)}}
//			}),
//		},
//		Topics: topicsOf, // of a request: ?lot=42 asks for "lot/42"
//	})
//	mux.Handle("/v1/stream", lots)
//
// A rule is a pure function of one event and has no state of its own. So what a page needs must be in
// the event, and a fragment tells what the event changed, with the entity's version: the page
// merges it into the row that it has, and the higher version wins.
//
// # What a client gets
//
//	retry: 500
//
//	id: TOKEN
//
//	id: TOKEN
//	event: lots
//	data: {"rows":[…],"bids":[…]}
//
// Each message has all lists, some empty, and the fragments of one or more commands, never a part of
// a command. Its id is a [journal.Token]: all events up to there were sent, or are not for this
// client. A block with only an id moves that mark and reaches no listener. Every 15 s of silence bring a comment.
//
// # What is promised
//
// Each event of the client's topics is sent exactly once, in the order of its shard, so also of its
// entity, across any number of connections that each begin with the last id of the one before (header
// Last-Event-ID, or ?after=TOKEN). It does not matter whether the missed events are still in memory or
// must be read from the journal, nor whether the process is the same. There is no order between shards.
//
// Who missed more than MaxBehind events, or comes with an id of another history, gets the message
// "reset", with the current position as its id, and the stream goes on from there. A page that
// merges fragments loads its list anew and follows from the list's token.
//
// A client never holds up another one. What waits for it is bounded; when that is full, or when one write takes longer than
// WriteTimeout, it is cut off, and comes back by itself. Rendered events are shared by all clients.
//
// # How it runs
//
// While there are clients, one goroutine follows all shards; it is woken by commits and never polls.
// Nothing waits to gather: a message carries what has come since the one before was written. Without
// clients nothing runs. End the streams with [Stream.Stop] before http.Server.Shutdown, which would wait for them.
package stream
