package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// processTime is the user and system time that a process on this machine has used, as
// Linux counts it.
func processTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w: -database-pid needs Linux and a database on this machine", pid, err)
	}
	return parseProcessTime(stat)
}

// parseProcessTime reads the times of /proc/PID/stat. The name of the program is
// in parentheses and may hold anything, so fields are counted from behind it.
func parseProcessTime(stat []byte) (time.Duration, error) {
	const user, system = 11, 12 // behind the name
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= system {
		return 0, fmt.Errorf("the state of the process has %d fields", len(fields))
	}
	var sum time.Duration
	for _, field := range [][]byte{fields[user], fields[system]} {
		ticks, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("the state of the process: %w", err)
		}
		sum += time.Duration(ticks) * tick
	}
	return sum, nil
}

// tick is the unit of the times in /proc: a hundredth of a second on all machines that Go runs on.
const tick = 10 * time.Millisecond

// databaseTime is the CPU time of the database, 0 if its process is not known.
func (l Load) databaseTime() (time.Duration, error) {
	if l.DatabasePID == 0 {
		return 0, nil
	}
	return processTime(l.DatabasePID)
}

// logOnly is a journal that drops what is derived from its log.
type logOnly struct{ journal.Journal }

// Derive implements journal.Store: it writes nothing.
func (logOnly) Derive(context.Context, journal.Derived) error { return nil }

// SaveSnapshot implements journal.Store: it writes nothing.
func (logOnly) SaveSnapshot(context.Context, journal.Snapshot) error { return nil }

// MaxRecord implements journal.Limited for a journal that has a limit.
func (j logOnly) MaxRecord() int {
	if l, ok := j.Journal.(journal.Limited); ok {
		return l.MaxRecord()
	}
	return maxPayload * 4
}

// change makes the host as the load wants it. Without derived tables nothing could bring an
// entity back, so none leaves memory.
func (l Load) change(c *entity.Config) {
	if !l.NoDerived {
		return
	}
	c.Journal = logOnly{c.Journal}
	c.MaxLive, c.MaxLiveBytes, c.IdleAfter = maxEntities, 1<<40, l.Warm+l.For+time.Hour
}
