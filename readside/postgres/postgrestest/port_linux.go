package postgrestest

import (
	"errors"
	"fmt"
	"syscall"
)

// reserve takes a free port of loopback until free is called. Linux gives it to nobody else who asks for any port, also while
// the server is down; PostgreSQL, which names it and sets SO_REUSEADDR as we do, may listen there as often as it starts.
func reserve() (port int, free func(), err error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, fmt.Errorf("postgrestest: reserve a port: %w", err)
	}
	free = func() { _ = syscall.Close(fd) } // it holds nothing but the port
	err = errors.Join(
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1),
		syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
	)
	at, nameErr := syscall.Getsockname(fd)
	own, ok := at.(*syscall.SockaddrInet4)
	if err = errors.Join(err, nameErr); err != nil || !ok {
		free()
		return 0, nil, fmt.Errorf("postgrestest: reserve a port: %w", err)
	}
	return own.Port, free, nil
}
