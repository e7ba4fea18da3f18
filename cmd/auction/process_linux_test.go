package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the system kill the child when we end, however we do: a test that is out of time cleans up nothing.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
