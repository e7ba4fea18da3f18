//go:build unix

package breaker_test

import (
	"syscall"
	"time"
)

// cpuTime is what the process has used. On a machine that others use too it says more than a clock.
func cpuTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
