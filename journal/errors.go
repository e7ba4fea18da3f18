package journal

import "errors"

var (
	// ErrRefused is wrapped by errors of appends that certainly did not happen.
	ErrRefused = errors.New("journal: append refused")

	// ErrClosed is returned when the journal was closed. It wraps no outcome:
	// an append that was under way is unknown.
	ErrClosed = errors.New("journal: closed")

	// ErrFull is wrapped, beside ErrRefused, when the disk has no room left.
	// Reads go on; appends are taken again as soon as there is room.
	ErrFull = errors.New("journal: no room left on the disk")

	// ErrCorrupt is wrapped when something stored cannot be what was written.
	// It names the place. Nothing is skipped over.
	ErrCorrupt = errors.New("journal: corrupt")

	// ErrLocked is wrapped when another process has the journal open.
	ErrLocked = errors.New("journal: in use by another process")

	// ErrFormat is wrapped when the journal was written by a newer release.
	ErrFormat = errors.New("journal: written by a newer release")
)
