package pebble

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/skerryhq/skerry/journal"
)

// formatVersion is the version of what this package stores. A journal keeps
// the one it was made with under the name formatName.
const (
	formatVersion = 1
	formatName    = "format"
)

// Open opens the journal in a directory, or makes a new one. It repairs what a
// crash may leave (a torn end that was never acknowledged) and refuses
// everything else with ErrCorrupt. Another process that has it open: ErrLocked.
func Open(cfg Config) (*Journal, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(cfg)
	if err != nil {
		return nil, err
	}
	j := &Journal{
		cfg:      cfg,
		lock:     lock,
		room:     room{fs: cfg.FS, dir: cfg.Dir, need: cfg.MinFree, reserve: int64(cfg.MemTableBytes)},
		reopened: make(chan struct{}),
		quit:     make(chan struct{}),
		idle:     make(chan struct{}),
		shards:   map[uint32]*shard{},
	}
	if err := j.open(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	j.renewMarks()
	return j, nil
}

func lockDir(cfg Config) (*pebble.Lock, error) {
	if err := cfg.FS.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("journal/pebble: make %s: %w", cfg.Dir, err)
	}
	lock, err := pebble.LockDirectory(cfg.Dir, cfg.FS)
	switch {
	case err == nil:
		return lock, nil
	case errors.Is(err, os.ErrPermission), errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("journal/pebble: lock %s: %w", cfg.Dir, err)
	}
	return nil, fmt.Errorf("%w: %s: stop the process that uses it, or name another directory (%w)", journal.ErrLocked, cfg.Dir, err)
}

// open opens Pebble, checks what it holds, and makes it the journal's handle.
// The caller is alone: in Open, or the one reopener.
func (j *Journal) open() error {
	if err := j.checkLogs(); err != nil {
		return err
	}
	h, err := j.openHandle()
	if err != nil {
		return err
	}
	heads, err := j.check(h)
	if failure := h.guard.failure(); failure != nil {
		err = failure
	}
	if err != nil {
		return errors.Join(err, h.close())
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.adopt(h, heads)
	return nil
}

// adopt makes h the handle: what it stores is the truth now. The caller holds j.mu.
func (j *Journal) adopt(h *handle, heads map[uint32]journal.Head) {
	j.handle, j.failed = h, false
	for _, l := range j.lanes() {
		l.doubt(nil, errReopening) // their slots are given anew below
	}
	for _, s := range j.shards {
		s.queued = s.synced.Number // what was in doubt and is not stored never will be
		clear(s.doubt)
	}
	for number, head := range heads {
		s := j.shardOf(number)
		s.synced, s.queued, s.flushed = head.Last, head.Last.Number, head.Flushed
	}
	close(j.reopened)
	j.reopened = make(chan struct{})
	if h.guard.failure() != nil { // while it was checked
		j.replace(h)
	}
}

func (j *Journal) openHandle() (*handle, error) {
	h := newHandle()
	h.flush.most = maxMemTables * uint64(j.cfg.MemTableBytes)
	h.guard = newGuard(j.cfg.FS, &j.room, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.replace(h)
	})
	g := h.guard
	db, err := openPebble(j.cfg.Dir, j.options(h))
	failure := g.failure()
	if err != nil {
		close(g.closed)
		return nil, fmt.Errorf("journal/pebble: open %s: %w", j.cfg.Dir, cmp.Or(failure, classify(err)))
	}
	h.db = db
	if failure != nil {
		return nil, errors.Join(fmt.Errorf("journal/pebble: open %s: %w", j.cfg.Dir, failure), h.close())
	}
	g.opening.Store(false)
	return h, nil
}

// openPebble opens Pebble, which panics at some kinds of damage.
func openPebble(dir string, opts *pebble.Options) (db *pebble.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", journal.ErrCorrupt, r)
		}
	}()
	return pebble.Open(dir, opts)
}

// classify tells what it means that Pebble could not be opened: trouble with
// the machine may pass; everything else is in the files.
func classify(err error) error {
	var errno syscall.Errno
	switch {
	case strings.Contains(err.Error(), "written in unknown format major version"):
		return fmt.Errorf("%w: %w", journal.ErrFormat, err)
	case errors.As(err, &errno) && !errors.Is(err, os.ErrNotExist), errors.Is(err, errFrozen):
		return err
	}
	return fmt.Errorf("%w: %w", journal.ErrCorrupt, err)
}

// check reads what the store says of itself and the end of every log.
func (j *Journal) check(h *handle) (map[uint32]journal.Head, error) {
	if err := checkFormat(h); err != nil {
		return nil, fmt.Errorf("journal/pebble: %s: %w", j.cfg.Dir, err)
	}
	heads, err := readHeads(h)
	if err != nil {
		return nil, fmt.Errorf("journal/pebble: %s: %w", j.cfg.Dir, err)
	}
	return heads, j.checkMarks(heads)
}

func checkFormat(h *handle) error {
	stored, err := h.get(metaKey(formatName))
	if err != nil {
		return err
	}
	if stored == nil {
		return newFormat(h)
	}
	version, err := strconv.Atoi(string(stored))
	if err != nil {
		return fmt.Errorf("%w: format %q is no number", journal.ErrCorrupt, stored)
	}
	if version > formatVersion {
		return fmt.Errorf("%w: format %d, this release knows up to %d: use the newer release", journal.ErrFormat, version, formatVersion)
	}
	return nil
}

// newFormat settles the format of a new journal.
func newFormat(h *handle) error {
	return h.commit([]*write{{name: formatName, value: strconv.Itoa(formatVersion)}})
}

// replace starts the exchange of a failed handle. The caller holds j.mu.
func (j *Journal) replace(h *handle) {
	if j.failed || j.closing || j.handle != h || h == nil {
		return
	}
	j.failed = true
	cause := h.guard.failure()
	j.cfg.Logger.Error("journal failed; reopening", "dir", j.cfg.Dir, "cause", cause.Error())
	j.reopener.Add(1)
	go j.reopen(h)
}

const (
	reopenFirst = 20 * time.Millisecond
	reopenMost  = 5 * time.Second
)

// reopen exchanges a failed handle for a new one, however long it takes. Until
// there is room to open it, readers keep the old one.
func (j *Journal) reopen(h *handle) {
	defer j.reopener.Done()
	wait := reopenFirst
	for j.room.full() {
		if !j.sleep(roomEvery) {
			return
		}
	}
	j.mu.Lock()
	j.handle = nil
	j.mu.Unlock()
	if err := h.close(); err != nil {
		j.cfg.Logger.Error("journal: close of the failed handle", "dir", j.cfg.Dir, "cause", err.Error())
	}
	for {
		err := j.open()
		if err == nil {
			j.cfg.Logger.Info("journal reopened", "dir", j.cfg.Dir)
			return
		}
		if j.giveUp(err) || !j.sleep(wait) {
			return
		}
		wait = min(2*wait, reopenMost)
	}
}

// giveUp notes an error that no repetition cures.
func (j *Journal) giveUp(err error) bool {
	j.cfg.Logger.Error("journal: reopen", "dir", j.cfg.Dir, "cause", err.Error())
	if !errors.Is(err, journal.ErrCorrupt) && !errors.Is(err, journal.ErrFormat) {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dead = err
	close(j.reopened)
	j.reopened = make(chan struct{})
	return true
}

// sleep waits; false means that the journal is being closed.
func (j *Journal) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-j.quit:
		return false
	}
}
