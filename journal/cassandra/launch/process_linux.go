package launch

import (
	"os"
	"os/exec"
	"syscall"
)

func dieWithParent(command *exec.Cmd) {
	// A group of its own: an interrupt typed at the terminal reaches us, and
	// we decide when the nodes stop.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// lock locks an open file until it is closed, if nobody else has; it does not wait.
func lock(file *os.File) bool {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
