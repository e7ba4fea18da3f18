//go:build unix && !linux

package postgrestest

import "net"

// reserve finds a port of loopback that is free now; another process may take it.
func reserve() (port int, free func(), err error) {
	l, err := net.Listen("tcp", serverHost+":0") //nolint:noctx // it takes no time
	if err != nil {
		return 0, nil, err
	}
	return l.Addr().(*net.TCPAddr).Port, func() {}, l.Close()
}
