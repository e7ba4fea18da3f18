package postgrestest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// process is one running server.
type process struct {
	process *os.Process
	ready   chan struct{} // closed when it takes connections
	ended   chan struct{} // closed when it is gone
	err     error         // how it went
	said    said
}

// run starts the command. The system binds the child's life to the thread that started it, so one thread stays
// with it to its end.
func run(command *exec.Cmd) (*process, error) {
	p := &process{ready: make(chan struct{}), ended: make(chan struct{})}
	from, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	command.Stdout, command.Stderr = to, to
	started := make(chan error)
	go func() {
		defer close(p.ended)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		_ = to.Close()
		p.process = command.Process
		started <- err
		if err == nil {
			p.listen(from) // to its end: the last of its children is gone then
			p.err = command.Wait()
		}
		_ = from.Close()
	}()
	if err := <-started; err != nil {
		<-p.ended
		return nil, err
	}
	return p, nil
}

// readyLine is what the server says when it takes connections.
const readyLine = "database system is ready to accept connections"

func (p *process) listen(from io.Reader) {
	lines, told := bufio.NewScanner(from), false
	for lines.Scan() {
		p.said.add(lines.Text())
		if !told && strings.Contains(lines.Text(), readyLine) {
			told = true
			close(p.ready)
		}
	}
}

// await waits until the server takes connections.
func (p *process) await(ctx context.Context) error {
	select {
	case <-p.ready:
		return nil
	case <-p.ended:
		return fmt.Errorf("postgrestest: the server ended: %w\n%s", p.err, &p.said)
	case <-ctx.Done():
		return fmt.Errorf("postgrestest: the server does not get ready: %w\n%s", ctx.Err(), &p.said)
	}
}

// end sends a signal that ends the server, and waits for that.
func (p *process) end(signal syscall.Signal) error {
	if err := p.process.Signal(signal); err != nil {
		return err
	}
	<-p.ended
	return nil
}

// said is the last that a server said.
type said struct {
	mu    sync.Mutex
	lines []string
}

// maxSaid bounds the lines that are kept.
const maxSaid = 100

func (s *said) add(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lines) == maxSaid {
		s.lines = s.lines[1:]
	}
	s.lines = append(s.lines, line)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}
