// Package cassandra keeps a journal in Apache Cassandra, for a service that runs
// on several machines.
//
//	j, err := cassandra.Open(ctx, cassandra.Config{
//		Hosts:    []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"},
//		Keyspace: "auction",
//	})
//	if err != nil {
//		return err // says what is missing and how to make it
//	}
//	defer j.Close()
//
// # One compare-and-set for many commands
//
// A record of a shard's log is one row, inserted with IF NOT EXISTS: of all who
// try to take a slot one wins, and the others are told who. The rows of a log lie in
// partitions, called buckets. Compare-and-set is Cassandra's only within a partition, so
// where the next record lives is a function of the record before it alone: the row
// that fills a bucket says so in its column closes, and the record behind it opens
// the bucket that bears its number. Each row also carries how full the bucket is with it,
// so owners with different limits agree on every border.
//
//	bucket 1: 1 2 3 4(closes)    bucket 5: 5 6(closes)    bucket 7: 7 …
//
// Rows of the log are never changed or removed, and nothing but such inserts writes to them.
//
// # Outcomes
//
// Append sends the insert once. The driver neither retries nor speculates. Whatever comes
// back but an answer is an unknown outcome, and so is no answer within Config.Timeout: the
// insert may have taken the slot, or a queued one may take it later. Append
// the same record again: the answer then shows the batch id of the holder.
//
// # Reads
//
// All reads and plain writes are at QUORUM. A record is answered as stored only when
// its commit has reached a quorum, so a quorum that shows a slot empty proves that nobody was
// told before. Nothing reads at SERIAL: such reads write, and collide with appends.
//
// Pages, snapshots and the timer index are plain rows, written from committed records. The tables
// buckets and hours say where to begin looking. A hint in buckets
// that is missing or wrong costs time only; an hour is noted before a timer in it counts as written.
//
// # Registers and witnesses
//
// A swap of a register is one compare-and-set, sent once as well, in the tables placement and progress. No
// row of theirs is removed: one that came back would begin at revision 1, where an old swap might still apply. A
// node's witness is a plain row with a time to live in the table nodes.
//
// # Several data centres
//
// Config.DataCenter names the one data centre that writes. Then all is agreed
// on and read there (LOCAL_SERIAL, LOCAL_QUORUM), and the driver talks to its nodes only. The journal
// remembers which it is: a node that is configured otherwise refuses to start. That is agreed on among all data centres, so
// the first start ever needs a quorum of all replicas; later ones do not.
//
// # The clock
//
// The order of a log does not depend on clocks. Rows of derived tables carry the writer's
// time, so that a late write does not bring back a timer that was removed. Open compares
// the clock with the database's and refuses more than two seconds.
package cassandra
