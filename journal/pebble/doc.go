// Package pebble keeps a journal on the disk of one machine, in Pebble, an
// embedded log-structured store.
//
//	j, err := pebble.Open(pebble.Config{Dir: "auction-data"})
//	if err != nil {
//		return err // ErrLocked, ErrFormat and ErrCorrupt say what to do
//	}
//	defer j.Close()
//
// # What is durable
//
// A nil error of Append, Derive, SaveSnapshot, Settle, Swap or PutWitness means
// that the write was synced. Writes of all shards that come together share one batch and one
// sync; a lonely caller pays for its own sync and no goroutine beside it (see
// lane). Readers of logs see synced records only.
//
// # When the disk fails
//
// A failed write or sync leaves its whole batch unknown, and those written or
// queued behind it. The journal then lets the failed handle write nothing more
// (see guard), reopens itself for as long as it takes, and reads back what is
// really stored; calls wait for it up to two seconds. When there is less room
// than Config.MinFree, writes are refused with ErrFull and reads go on, until
// there is room again.
//
// # What is found when it is opened
//
// A crash may leave a torn end behind what was acknowledged: it is cut off with a
// line in the log. Damage in front of that end, to a table, or to the end of a
// log is ErrCorrupt, now or by the read that meets it; nothing is skipped.
//
// One kind of loss cannot be told from a crash: when the newest log file loses
// its end (the very last batch damaged, or the file cut or removed) after a
// crash, and while the journal's marks (see skerry.heads, renewed at each open
// and close) are older than what was lost, or gone. Marks that are gone are told
// of in the log; nothing else is lost with them. Copy a journal only as a whole
// and only while it is closed.
//
// Only one process may have the journal open. Config.MaxRecordBytes,
// Config.MinFree and Config.CacheBytes are its limits.
package pebble
