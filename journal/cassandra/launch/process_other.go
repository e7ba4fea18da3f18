//go:build !linux

package launch

import "os/exec"

// dieWithParent does nothing here: call Cluster.Stop.
func dieWithParent(*exec.Cmd) {}
