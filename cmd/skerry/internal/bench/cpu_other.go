//go:build !unix

package bench

import "time"

// cpuTime is not told on this system, so the CPU per command shows as 0.
func cpuTime() time.Duration { return 0 }
