// Package sqlite opens an SQLite file for read models: one connection that writes, some that
// read, and no other process.
//
//	db, err := sqlite.Open(ctx, sqlite.Config{Path: "lots.db", Steps: []string{createLots}})
//	lots := readside.SQL("lots", db.Write(), …) // the processor
//	rows, err := db.Read().QueryContext(ctx, …) // the pages
//
// The file is in WAL mode with synchronous=FULL: a transaction that has committed survives a
// power cut, readers see the last committed state and never wait for the writer, and the writer
// never waits for readers. One process holds the file; a second is refused with
// [ErrInUse], and a crash leaves nothing locked.
//
// A file can be thrown away: without it, processors begin with the first event.
package sqlite
