package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one node of a measured cluster, in a process of its own. Its methods may be called concurrently.
type process struct {
	name string
	cmd  *exec.Cmd
	// lifeline ends the process when it is closed, or when this process ends.
	lifeline io.Closer
	// ended is closed when the process is gone; err is how it went.
	ended chan struct{}
	err   error

	mu     sync.Mutex
	shards []int // that it serves, as far as it has told
}

// launchMember starts a member and returns at once. The system binds the child's life to
// the thread that started it, so one thread stays with it to its end.
func launchMember(cmd *exec.Cmd, name string) (*process, error) {
	dieWithParent(cmd)
	p := &process{name: name, cmd: cmd, ended: make(chan struct{})}
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.lifeline = lifeline
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	started := make(chan error)
	go func() {
		defer close(p.ended)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.listen(out)
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		<-p.ended
		return nil, fmt.Errorf("start a process for node %s: %w", name, err)
	}
	return p, nil
}

// listen takes in what the process prints, until it ends.
func (p *process) listen(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		p.hear(lines.Text())
	}
}

func (p *process) hear(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list, ok := strings.CutPrefix(line, saysOwns)
	if !ok {
		return
	}
	p.shards = nil
	for word := range strings.SplitSeq(list, ",") {
		if n, err := strconv.Atoi(word); err == nil {
			p.shards = append(p.shards, n)
		}
	}
}

// serves are the shards that the process has said it serves.
func (p *process) serves() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shards
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// hasEnded tells how the process has gone, if it has.
func (p *process) hasEnded() (error, bool) { //nolint:revive // the error is what is asked for
	select {
	case <-p.ended:
		return p.err, true
	default:
		return nil, false
	}
}

// kill ends the process at once, also while it is paused, and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.ended
	_ = p.lifeline.Close()
}

// leave tells the process to give its shards away and to end, and waits for that.
func (p *process) leave(ctx context.Context) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("tell node %s to end: %w", p.name, err)
	}
	select {
	case <-p.ended:
	case <-ctx.Done():
		return fmt.Errorf("node %s did not end when told to: %w", p.name, context.Cause(ctx))
	}
	if p.err != nil {
		return fmt.Errorf("node %s: %w", p.name, p.err)
	}
	return nil
}

// crew is the processes of one measured cluster.
type crew struct {
	fault   Fault
	dir     string
	shards  int
	seeds   []string
	members []*process // by number; the newest of each name
}

// start starts the member of a number anew.
func (c *crew) start(ctx context.Context, number int) error {
	name := fmt.Sprintf("n%d", number+1)
	told, err := json.Marshal(MemberProcess{
		Name: name, Seeds: c.seeds, URL: c.fault.URL, Dir: c.dir, Shards: c.fault.Shards, Appends: c.fault.Appends, Log: c.fault.NodeLog,
	})
	if err != nil {
		return err
	}
	p, err := launchMember(c.fault.Command(ctx, string(told)), name)
	if err == nil {
		c.members[number] = p
	}
	return err
}

// startAll starts all members at once and returns when they are at rest.
func (c *crew) startAll(ctx context.Context) error {
	c.members = make([]*process, c.fault.Nodes)
	for i := range c.members {
		if err := c.start(ctx, i); err != nil {
			return err
		}
	}
	return c.rest(ctx)
}

const (
	// restFor is how long nothing may move for a cluster at rest.
	restFor = 500 * time.Millisecond
	// restPatience bounds the wait for it.
	restPatience = 5 * time.Minute
)

// rest waits until each shard is served by one member and each member serves some.
func (c *crew) rest(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, restPatience, fmt.Errorf("the nodes did not come to rest within %v", restPatience))
	defer cancel()
	var seen string
	for since := time.Now(); ; {
		now, err := c.picture()
		if err != nil {
			return err
		}
		if now != seen {
			seen, since = now, time.Now()
		}
		if now != "" && time.Since(since) >= restFor {
			return nil
		}
		if err := pause(ctx, ownsPause); err != nil {
			return fmt.Errorf("%w: %s", err, c.shares())
		}
	}
}

// shares tells how much each member serves.
func (c *crew) shares() string {
	var lines []string
	for _, p := range c.members {
		lines = append(lines, fmt.Sprintf("%s serves %d", p.name, len(p.serves())))
	}
	return strings.Join(lines, ", ") + fmt.Sprintf(" of %d shards", c.shards)
}

// picture is who serves what; empty while a shard has no owner, or a member no shard.
func (c *crew) picture() (string, error) {
	var lines []string
	served := 0
	for _, p := range c.members {
		if err, ended := p.hasEnded(); ended {
			return "", fmt.Errorf("node %s has ended by itself: %w", p.name, err)
		}
		shards := p.serves()
		if served += len(shards); len(shards) == 0 {
			return "", nil
		}
		lines = append(lines, listOf(shards))
	}
	if served != c.shards {
		return "", nil
	}
	return strings.Join(lines, ";"), nil
}

// kill ends what is left, in any state.
func (c *crew) kill() {
	for _, p := range c.members {
		if p != nil {
			p.kill()
		}
	}
}
