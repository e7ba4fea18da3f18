package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// dieWithParent makes the system kill the child when we end, also while it is paused. It gets a group of its own: an
// interrupt typed at the terminal reaches us, and we decide when nodes end.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// isPaused tells whether the system has stopped all of the process.
func isPaused(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	state := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	return len(state) > 0 && string(state[0]) == "T"
}

// busyTime is the time that all processors together have worked since the machine started, for anyone.
func busyTime() (busy, all uint64) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	const idle, ioWait, last = 3, 4, 8 // guests' time is in user time already
	for i, field := range bytes.Fields(line)[1:] {
		var ticks uint64
		if _, err := fmt.Sscan(string(field), &ticks); err != nil || i >= last {
			break
		}
		all += ticks
		if i != idle && i != ioWait {
			busy += ticks
		}
	}
	return busy, all
}
