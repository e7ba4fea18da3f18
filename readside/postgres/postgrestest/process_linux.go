package postgrestest

import "syscall"

// attributes let the server die with the thread that started it, and keep an interrupt typed at the terminal from it.
func (i install) attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT, Setpgid: true, Credential: i.as}
}
