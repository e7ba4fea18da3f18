// Package archive writes a journal into portable files, reads it back into any other journal, and
// checks a journal against itself.
//
//	_, err := archive.Export(ctx, archive.ExportConfig{Journal: from, Dir: "backup"})
//	…
//	_, err = archive.Import(ctx, archive.ImportConfig{Journal: to, Dir: "backup"})
//	…
//	report, err := archive.Verify(ctx, archive.VerifyConfig{Journal: to})
//
// # What an archive is
//
// A directory with one file per shard and a manifest. A shard's file holds the records of its log, exactly
// as they are stored, each with its length and checksum, and ends with their count and the SHA-256 of
// all before. The manifest is written last, so a directory without one is not an archive yet. It names
// each file's size and SHA-256, and the settled facts that a service needs.
//
//	"skerry-archive-1\n"
//	frame 'h'   JSON: archive, history, shards, shard
//	frame 'r'   a record, as often as there are
//	frame 'e'   count (8 bytes), SHA-256 of all bytes before this frame (32 bytes)
//
//	frame = kind (1 byte), length (4 bytes), CRC-32C of kind, length and body (4 bytes), body
//
// Numbers are big-endian. Pages, snapshots and timer index are derived and are not in the archive.
//
// # Guarantees
//
// Export and Import can be interrupted anywhere and called again with the same arguments: they go on
// behind the last whole record, and refuse if what is there is of another journal. Import takes
// an empty journal and marks it (see [journal.Importing]); a host refuses to serve from it until the import is
// complete. Records keep their headers, claims included: a host's next claim follows them. A batch's entries are
// in the pages before its records are appended, so what a header says of the flush position is true
// at every moment; until the import is complete pages and timer index may be ahead of the log.
//
// An imported journal has a new history, unless told otherwise: the source may live on, and a token or a
// processor's offset of the one means nothing in the other as soon as both have taken a command.
//
// Memory is bounded by Parallel times a few MiB (Import), by one read (Export), and by one
// number per entity of one shard (Verify, Stat).
package archive
