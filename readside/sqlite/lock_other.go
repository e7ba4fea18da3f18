//go:build !unix

package sqlite

import (
	"fmt"
	"os"
	"runtime"
)

// lock refuses: without a lock that ends with the process, two could write one file.
func lock(path string) (*os.File, error) {
	return nil, fmt.Errorf("sqlite: %s: read models are not kept on %s: there is no file lock here that a crash releases", path, runtime.GOOS)
}

func unlock(f *os.File) error { return f.Close() }
