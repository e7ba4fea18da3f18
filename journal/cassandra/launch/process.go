package launch

import (
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
)

// process is one running Java.
type process struct {
	process *os.Process
	// ended is closed when the process is gone; err is how it went.
	ended chan struct{}
	err   error
	// asked is whether we wanted it to end.
	asked atomic.Bool
}

// run starts the command, whose process dies with this one. The system binds the child's
// life to the thread that started it, so one thread stays with it to its end.
func run(command *exec.Cmd) (*process, error) {
	dieWithParent(command)
	p := &process{ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		defer close(p.ended)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		p.process = command.Process
		started <- err
		if err == nil {
			p.err = command.Wait()
		}
	}()
	if err := <-started; err != nil {
		<-p.ended
		return nil, err
	}
	return p, nil
}

// running tells whether the process has not ended yet.
func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// kill ends the process at once and waits for its end.
func (p *process) kill() {
	p.asked.Store(true)
	_ = p.process.Kill() // it may have ended by itself
	<-p.ended
}
