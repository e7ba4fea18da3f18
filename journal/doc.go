// Package journal is the port to the durable memory of a service: one
// append-only, fenced log per shard, and what is derived from the logs.
//
// A shard's log is a dense row of slots, numbered from 1. [Log.Append] takes
// exactly the next slot or learns who has it; no slot is ever rewritten. That
// one compare-and-set is all the agreement Skerry needs: who owns a shard is
// told by a record in the shard's own log (a claim, which raises the epoch),
// so a writer that was overtaken learns it from its next append and cannot
// corrupt what follows.
//
//	slot    1        2       3       4        5
//	      claim    data    data    claim    data   …
//	epoch   1        1       1       2        2
//
// Pages (the entries of one entity), snapshots and the timer index are
// derived: written later, from committed records, and rebuilt when lost.
//
// Beside the logs a journal has small values that belong to no shard: what is settled once
// ([Journal.Settle]), what changes by compare-and-set ([Registers]), and who is alive ([Witnesses]).
//
// Implementations: [Memory] in this package, for tests and as the model of
// the others; Pebble for one machine in the folder pebble. Each passes the
// contract suite in journaltest.
package journal
