package launch

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// remover removes a folder when it is told to, or when this process has ended,
// however it ended: it is a shell that waits for the end of its input, which the system closes then.
type remover struct {
	command *exec.Cmd
	input   io.Closer
}

// Nodes that die with this process may write a little longer than it lives.
const removal = `cat; try=0; while [ $try -lt 60 ]; do rm -rf "$0" && exit 0; sleep 1; try=$((try+1)); done; exit 1`

// makeForgotten makes a temporary folder, and what removes it.
func makeForgotten() (string, *remover, error) {
	dir, err := os.MkdirTemp("", "skerry-cassandra-")
	if err != nil {
		return "", nil, err
	}
	r := &remover{command: exec.Command("sh", "-c", removal, dir)} //nolint:noctx // it outlives all of us
	r.command.Dir = "/"
	r.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt at the terminal is not for it
	if r.input, err = r.command.StdinPipe(); err == nil {
		err = r.command.Start()
	}
	if err != nil {
		_ = os.Remove(dir) // the first error says more
		return "", nil, err
	}
	return dir, r, nil
}

// now removes the folder and waits until it is gone.
func (r *remover) now() error {
	_ = r.input.Close() // closed already: this was called before
	if err := r.command.Wait(); err != nil {
		return fmt.Errorf("launch: remove %s: %w", r.command.Args[len(r.command.Args)-1], err)
	}
	return nil
}
