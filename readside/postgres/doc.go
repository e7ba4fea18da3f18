// Package postgres opens a PostgreSQL database for read models that several processes keep together: connections
// that write, and others that only read.
//
//	db, err := postgres.Open(ctx, postgres.Config{URL: "postgres://lots@db.example/lots", Steps: []string{createLots}})
//	lots := readside.SQL("lots", db.Write(), …) // the processor, the same on each node
//	rows, err := db.Read().QueryContext(ctx, …) // the pages
//
// Any number of processes open the same database at once: the steps are taken by one of them while the others wait, and
// of two workers for one shard only one moves its offset (see package readside).
//
// A transaction of Write is READ COMMITTED, one of Read is REPEATABLE READ and cannot write: it sees one state from its
// first statement to its end. A session that holds a transaction open and says nothing is ended by the server after
// [Config.IdleTimeout], so that a process that is frozen in the midst of one cannot hold a shard's offset for ever.
//
// Passwords belong into PGPASSWORD, a passfile or the address; no error and no line of the log repeats one.
package postgres
