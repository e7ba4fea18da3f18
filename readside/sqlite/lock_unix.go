//go:build unix

package sqlite

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock takes a lock on a file beside the database. The system drops it when the
// process ends, however that happens. SQLite's own locks would not do: they come and go with transactions.
func lock(path string) (*os.File, error) {
	name := path + ".lock"
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the path is the operator's
	if err != nil {
		return nil, fmt.Errorf("sqlite: %s: its folder must exist and be writable for this user: %w", path, err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w: %s: another process has it open, or this one already: a read model's file belongs to one process; stop the other, or give this one a file of its own", ErrInUse, path)
	}
	return nil, fmt.Errorf("sqlite: lock %s: %w", name, err)
}

// unlock lets the file go. Closing it alone would not do: a child that is being started holds a copy
// for a moment, and the lock with it. The file stays where it is: removing it could take it from under
// another process.
func unlock(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}
