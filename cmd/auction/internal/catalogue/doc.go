// Package catalogue is the sample's read model: what no lot could answer, because
// each knows only itself. Which lots close next? What has ann bid on? Who won what?
//
// A processor follows the log and keeps three tables, lots, bids and sales
// ([Catalogue.Processor]); an event and the position in the log commit together, so each
// counts once. The queries read tables and position in one transaction: an answer's
// token tells exactly which events its rows hold.
//
//	db, err := sqlite.Open(ctx, sqlite.Config{Path: path, Steps: catalogue.Steps()})
//	lots := catalogue.New(db.Write(), db.Read(), host.Feed().History())
//	runner, err := readside.Start(ctx, readside.Config{Source: host.Feed(), Processors: []readside.Processor{lots.Processor()}})
//	lots.Mount(mux, runner, host.Feed(), logger) // GET /v1/lots and its like
//
// The tables can be thrown away while the service is stopped: they are made again from the log.
//
// The SQL is what SQLite and PostgreSQL have in common: $1 for parameters, TEXT and
// BIGINT for columns. Times are nanoseconds since 1970, yes is 1 and no is 0.
package catalogue
