package pebble

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// guard stands between one opened Pebble and the disk. The first failure of
// the write-ahead log or the manifest freezes it: from then on nothing that
// this Pebble does reaches the disk, as if the process had ended there. So an
// old handle can neither harm what a new one will find nor acknowledge
// anything, and it can still be read and closed.
//
// Pebble cannot be told of a failing write-ahead log: it panics with its own
// locks held, or ends the process. So errors of log files are kept from it, and
// whoever commits asks the guard afterwards whether the commit counts. While
// Pebble opens, the same goes for every error: it would repeat a failing flush
// for ever and not return. The half-opened handle is thrown away then.
type guard struct {
	vfs.FS
	opening atomic.Bool
	room    *room
	failed  func() // called once, by the goroutine that met the failure

	frozen chan struct{} // closed by the first failure
	closed chan struct{} // closed when the handle goes away; ends pauses

	mu    sync.Mutex
	cause error
}

func newGuard(fs vfs.FS, room *room, failed func()) *guard {
	g := &guard{FS: fs, room: room, failed: failed, frozen: make(chan struct{}), closed: make(chan struct{})}
	g.opening.Store(true)
	return g
}

// errFrozen answers what a frozen guard does not let through.
var errFrozen = errors.New("journal/pebble: this handle has failed and writes nothing more")

// fail freezes the guard; only the first cause counts.
func (g *guard) fail(cause error) {
	g.mu.Lock()
	first := g.cause == nil
	if first {
		g.cause = cause
		close(g.frozen)
	}
	g.mu.Unlock()
	if first {
		g.failed()
	}
}

// isFrozen tells whether the guard lets nothing through any more.
func (g *guard) isFrozen() bool {
	select {
	case <-g.frozen:
		return true
	default:
		return false
	}
}

// failure returns what froze the guard, or nil.
func (g *guard) failure() error {
	if !g.isFrozen() {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cause
}

// isFull tells whether an error means that the disk has no room left.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// fileRole says what a failure of a file means.
type fileRole int

const (
	// roleTable: Pebble gives up the flush or compaction and tries again.
	roleTable fileRole = iota
	// roleManifest: Pebble ends the process, so the handle is given up.
	roleManifest
	// roleLog: the same, and Pebble must not learn of it.
	roleLog
)

func (g *guard) role(name string) fileRole {
	base := g.PathBase(name)
	switch {
	case strings.HasSuffix(base, ".log"):
		return roleLog
	case strings.HasPrefix(base, "MANIFEST-"), strings.HasPrefix(base, "marker."):
		return roleManifest
	}
	return roleTable
}

// pause slows down retries: Pebble repeats a failed flush at once.
const pause = 50 * time.Millisecond

func (g *guard) rest() {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-g.closed:
	}
}

// allow runs an operation that changes the disk, as the guard's state and the
// file's role demand.
func (g *guard) allow(role fileRole, name string, do func() error) error {
	if g.isFrozen() {
		return g.refuse(role)
	}
	err := do()
	if err == nil {
		return nil
	}
	if isFull(err) {
		g.room.ranOut()
	}
	if role == roleTable && !g.opening.Load() {
		g.rest()
		return err
	}
	g.fail(fmt.Errorf("%s: %w", name, err))
	if g.hides(role) {
		return nil
	}
	return err
}

// hides tells whether Pebble must not learn of a failure.
func (g *guard) hides(role fileRole) bool { return role == roleLog || g.opening.Load() }

// refuse answers an operation on a frozen guard.
func (g *guard) refuse(role fileRole) error {
	if g.hides(role) {
		return nil
	}
	if role == roleTable {
		g.rest()
	}
	return errFrozen
}

// open runs an operation that opens a file for writing.
func (g *guard) open(name string, do func() (vfs.File, error)) (vfs.File, error) {
	role := g.role(name)
	var file vfs.File
	err := g.allow(role, name, func() (err error) {
		file, err = do()
		return err
	})
	if err != nil {
		return nil, err
	}
	if file == nil {
		file = voidFile{}
	}
	return &guardedFile{File: file, guard: g, role: role, name: name}, nil
}

func (g *guard) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.open(name, func() (vfs.File, error) { return g.FS.Create(name, category) })
}

func (g *guard) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return g.open(name, func() (vfs.File, error) { return g.FS.OpenReadWrite(name, category, opts...) })
}

func (g *guard) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.open(newname, func() (vfs.File, error) { return g.FS.ReuseForWrite(oldname, newname, category) })
}

// OpenDir gives directories the role of logs: Pebble syncs one to make a new
// log file durable.
func (g *guard) OpenDir(name string) (vfs.File, error) {
	dir, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardedFile{File: dir, guard: g, role: roleLog, name: name}, nil
}

func (g *guard) Link(oldname, newname string) error {
	return g.allow(g.role(newname), newname, func() error { return g.FS.Link(oldname, newname) })
}

func (g *guard) Rename(oldname, newname string) error {
	return g.allow(g.role(newname), newname, func() error { return g.FS.Rename(oldname, newname) })
}

// Remove never freezes: a file that stays costs room and nothing else.
func (g *guard) Remove(name string) error {
	if g.isFrozen() {
		return g.refuse(roleTable)
	}
	return g.FS.Remove(name)
}

func (g *guard) RemoveAll(name string) error {
	if g.isFrozen() {
		return g.refuse(roleTable)
	}
	return g.FS.RemoveAll(name)
}

func (g *guard) MkdirAll(dir string, perm os.FileMode) error {
	return g.allow(roleTable, dir, func() error { return g.FS.MkdirAll(dir, perm) })
}

func (g *guard) Unwrap() vfs.FS { return g.FS }

// guardedFile is a file written under a guard.
type guardedFile struct {
	vfs.File
	guard *guard
	role  fileRole
	name  string
}

func (f *guardedFile) allow(do func() error) error { return f.guard.allow(f.role, f.name, do) }

func (f *guardedFile) Write(p []byte) (int, error) {
	err := f.allow(func() error { _, err := f.File.Write(p); return err })
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *guardedFile) WriteAt(p []byte, offset int64) (int, error) {
	err := f.allow(func() error { _, err := f.File.WriteAt(p, offset); return err })
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *guardedFile) Sync() error     { return f.allow(f.File.Sync) }
func (f *guardedFile) SyncData() error { return f.allow(f.File.SyncData) }

func (f *guardedFile) SyncTo(length int64) (full bool, err error) {
	err = f.allow(func() (err error) { full, err = f.File.SyncTo(length); return err })
	return full, err
}

// Preallocate is a hint: it may fail and nothing is lost.
func (f *guardedFile) Preallocate(offset, length int64) error {
	if f.guard.isFrozen() {
		return nil
	}
	return f.File.Preallocate(offset, length)
}

// Close always closes, also when frozen. A log file's error means that what
// was written may not be there.
func (f *guardedFile) Close() error {
	err := f.File.Close()
	if err == nil || f.role == roleTable {
		return err
	}
	f.guard.fail(fmt.Errorf("close %s: %w", f.name, err))
	return nil
}

// voidFile takes the place of a file that could not be made.
type voidFile struct{ vfs.File }

func (voidFile) Write(p []byte) (int, error)            { return len(p), nil }
func (voidFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (voidFile) Preallocate(_, _ int64) error           { return nil }
func (voidFile) Sync() error                            { return nil }
func (voidFile) SyncData() error                        { return nil }
func (voidFile) SyncTo(int64) (bool, error)             { return true, nil }
func (voidFile) Prefetch(_, _ int64) error              { return nil }
func (voidFile) Fd() uintptr                            { return vfs.InvalidFd }
func (voidFile) Close() error                           { return nil }
func (voidFile) Stat() (vfs.FileInfo, error)            { return voidInfo{}, nil }

// voidInfo describes a voidFile: Pebble asks for the size of a reused log file.
type voidInfo struct{ vfs.FileInfo }

func (voidInfo) Size() int64 { return 0 }
