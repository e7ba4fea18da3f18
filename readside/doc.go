// Package readside keeps what a service shows to its readers: tables that follow the logs of
// its entities, event by event.
//
// An entity answers for itself only. A list of all lots, the bids of one bidder, the results of
// a day are kept by a processor: a name and a table of rules, each for one type of event.
//
//	// Prices keeps the price list: row and offset commit in one transaction.
//	func Prices(db *sql.DB) readside.Processor {
//		return readside.SQL("lot-prices", db,
//			readside.On(func(ctx context.Context, tx *sql.Tx, ev readside.Event[*pb.BidPlaced]) error {
//				_, err := setPrice.Exec(ctx, tx, ev.EntityID, ev.Msg.GetAmount())
//				return err
//			}),
//		)
//	}
//
//	var setPrice = readside.Prepare(`UPDATE prices SET high = $2 WHERE lot = $1`)
//
//	runner, err := readside.Start(ctx, readside.Config{
//		Source: host.Feed(), Processors: []readside.Processor{Prices(db)},
//	})
//	err = runner.WaitFor(ctx, "lot-prices", receipt.Token) // rows read now show that command
//
// # What is promised
//
// Exactly once: what the handlers write and how far the processor is (table skerry_progress) commit
// in one transaction. After a crash at any moment, rows and offset agree. The offset moves by
// compare-and-set, so of two workers, such as one left over on a node that lost a shard, only one moves
// it; the other notices before it has written anything, whatever membership believes.
//
// Order: the events of an entity come in order, those of one command together, in one transaction. Entities
// of one shard come in the shard's order; between shards there is none.
//
// Nothing is skipped silently: records, offsets and versions are checked for gaps. A log that breaks
// its promise stops its shard of the processor, loudly; the rest goes on.
//
// A handler that fails is tried again with growing waits, then its entity is parked: that command and the
// entity's later ones wait in order (table skerry_parked holds where they are), all other
// entities flow. [Runner.Retry] goes through them once the defect is repaired. A database that is
// away, or an error of the class unavailable (it wraps [entity.ErrUnavailable], is a net.Error, or has a method
// Unavailable that says so), is waited for and parks nothing.
//
// # What a handler may do
//
// Read and write through tx. It may run again after a rollback, so anything else that it does may
// happen twice or without its rows; and the whole transaction, with the events of many shards,
// waits for it. A call to the outside therefore does not belong in it. One that hangs is seen:
// [Config.HandlerTimeout] ends it, names it in the log and counts it.
//
// Calls belong in a processor of [AtLeastOnce]. Its handlers run outside of any transaction, one at a time, and each
// may come again after a crash; [Event.ID] is a key by which the other side knows it again.
//
// # How it runs
//
// Each processor has a goroutine that reads and decodes ahead and one that commits. The newest records come
// from the host's memory, older ones from the journal in large pages. Nothing polls: both
// sleep until a shard's log grows. Under load a transaction carries many events of many shards; when
// little happens it carries one, at once. The folder sqlite opens files for it, with connections
// that commit nothing while a handler has them, the folder postgres databases for several processes, with connections that tell
// when a handler ends its transaction; guard.go says what becomes of other drivers.
//
// # Several nodes
//
// Each node has a runner of the same processors on the same database. A runner follows the shards that its node serves
// ([Source].Head tells), or those that [Runner.Assign] names; a shard that comes goes on from its stored offset. What is asked of one
// runner holds for all shards: WaitFor and Status read from the database how far others are, and only while somebody asks;
// Retry holds the shard's position for its transactions, by which it is the shard's worker meanwhile; a pause is a row that each move of an
// offset looks for.
package readside
