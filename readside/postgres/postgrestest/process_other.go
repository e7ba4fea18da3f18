//go:build unix && !linux

package postgrestest

import "syscall"

func (i install) attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: i.as}
}
