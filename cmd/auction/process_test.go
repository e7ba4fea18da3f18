package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// process is a running auction, as its user sees it.
type process struct {
	http, admin  string
	gossip, peer string // of a member of a cluster
	cmd          *exec.Cmd
	stderr       bytes.Buffer
	ended        chan error // gets one value, when the process is gone
}

// patience is how long anything that is waited for may take before a test gives up: a process that starts or stops, a command
// that is answered, shards that move. It is for what hangs, on a machine that does much else at the time.
const patience = 3 * time.Minute

// drainPatience is what processes are given for their stop with -drain, so that a slow machine cuts nobody off.
const drainPatience = "2m"

// launch starts the program at path and waits until it says that it is ready.
func launch(path, dir string, env []string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(path, args...), ended: make(chan error, 1)}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stderr = dir, env, &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	dieWithParent(p.cmd)
	started, ready := make(chan error), make(chan bool, 1)
	go func() {
		runtime.LockOSThread() // the system binds the child's life to the thread that starts it
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		ready <- p.listen(stdout)
		_, _ = io.Copy(io.Discard, stdout)
		p.ended <- p.cmd.Wait()
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	select {
	case ok := <-ready:
		if ok {
			return p, nil
		}
		return nil, fmt.Errorf("it ended before it was ready: %w\n%s", <-p.ended, p.stderr.String())
	case <-time.After(patience):
		p.kill()
		return nil, fmt.Errorf("it was not ready after %v\n%s", patience, p.stderr.String())
	}
}

// listen reads the addresses that the program prints.
func (p *process) listen(stdout io.Reader) bool {
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		line := lines.Text()
		if url, ok := strings.CutPrefix(line, "http listening on "); ok {
			p.http = url
		}
		if url, ok := strings.CutPrefix(line, "admin listening on "); ok {
			p.admin = url
		}
		if addr, ok := strings.CutPrefix(line, "gossip listening on "); ok {
			p.gossip = addr
		}
		if addr, ok := strings.CutPrefix(line, "peer listening on "); ok {
			p.peer = addr
		}
		if line == "ready" {
			return true
		}
	}
	return false
}

// kill ends the process as a power cut would, and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	p.ended <- <-p.ended
}

// stop asks the process to end and waits until it has, in good order.
func (p *process) stop(signal os.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil {
		return err
	}
	select {
	case err := <-p.ended:
		p.ended <- err
		if err != nil {
			return fmt.Errorf("%w\n%s", err, p.stderr.String())
		}
		return nil
	case <-time.After(patience):
		p.kill()
		return errors.New("it did not end when told to")
	}
}
