package launch

import (
	"os/exec"
	"syscall"
)

func dieWithParent(command *exec.Cmd) {
	// A group of its own: an interrupt typed at the terminal reaches us, and
	// we decide when the nodes stop.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
