package bench

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// episode is one node's end, or its pause, by the time of the loop.
type episode struct {
	// began is when it was ordered; from effect on, the node answers nothing that is sent then.
	began, effect time.Duration
	// shards are those that the node served.
	shards map[int]bool
}

// strike does what the fault is, and returns when the orders are carried out.
func (t *trial) strike(ctx context.Context) error {
	number := t.fault.Victim % t.fault.Nodes
	switch t.fault.Kind {
	case Kill:
		return t.kill(number)
	case Pause:
		return t.pause(ctx, number)
	case Drain:
		return t.drain(ctx, number)
	}
	return t.roll(ctx)
}

// meets notes that a node is about to meet its fate.
func (t *trial) meets(p *process) *episode {
	e := episode{began: t.loop.at(), shards: map[int]bool{}}
	e.effect = e.began
	for _, s := range p.serves() {
		e.shards[s] = true
	}
	t.episodes = append(t.episodes, e)
	return &t.episodes[len(t.episodes)-1]
}

func (t *trial) kill(number int) error {
	p := t.crew.members[number]
	e := t.meets(p)
	p.kill()
	e.effect = t.loop.at()
	t.crew.members = append(t.crew.members[:number:number], t.crew.members[number+1:]...)
	return nil
}

// pausePatience bounds how long the system may take to stop a process.
const pausePatience = time.Minute

func (t *trial) pause(ctx context.Context, number int) error {
	p := t.crew.members[number]
	e := t.meets(p)
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("pause node %s: %w", p.name, err)
	}
	for end := time.Now().Add(pausePatience); !isPaused(p.pid()); {
		if time.Now().After(end) {
			return fmt.Errorf("node %s is not paused after %v", p.name, pausePatience)
		}
		if err := pause(ctx, pace); err != nil {
			return err
		}
	}
	e.effect = t.loop.at()
	if err := pause(ctx, t.fault.PauseFor); err != nil {
		return err
	}
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return fmt.Errorf("let node %s go on: %w", p.name, err)
	}
	return nil
}

func (t *trial) drain(ctx context.Context, number int) error {
	err := t.leave(ctx, number)
	t.crew.members = append(t.crew.members[:number:number], t.crew.members[number+1:]...)
	return err
}

// leave tells a node to end and waits until it has.
func (t *trial) leave(ctx context.Context, number int) error {
	p := t.crew.members[number]
	ctx, cancel := context.WithTimeout(ctx, stepPatience)
	defer cancel()
	e := t.meets(p)
	err := p.leave(ctx)
	t.leaves = append(t.leaves, (t.loop.at() - e.began).Seconds())
	return err
}

// roll ends each node and starts it anew; the next one's turn comes when the shards are at rest.
func (t *trial) roll(ctx context.Context) error {
	for number := range t.crew.members {
		if err := t.leave(ctx, number); err != nil {
			return err
		}
		if err := t.crew.start(ctx, number); err != nil {
			return err
		}
		if err := t.crew.rest(ctx); err != nil {
			return err
		}
	}
	return nil
}
