package archive

import "errors"

var (
	// ErrDamaged is wrapped when a file of an archive is not what Export wrote, or not all of it.
	ErrDamaged = errors.New("archive: damaged or incomplete")

	// ErrFormat is wrapped when an archive was written by a newer release.
	ErrFormat = errors.New("archive: written by a newer release")

	// ErrComplete is wrapped by Export when the directory holds a complete archive, and by Import
	// when the journal has been imported already.
	ErrComplete = errors.New("archive: nothing left to do")

	// ErrMismatch is wrapped when directory and journal do not belong together.
	ErrMismatch = errors.New("archive: archive and journal do not belong together")

	// ErrNotEmpty is wrapped by Import when the journal is a service's already.
	ErrNotEmpty = errors.New("archive: the journal is not empty")
)
