package entity

import "sync"

// dispatcher runs each actor's mailbox on a goroutine that it keeps for the next
// one. A fresh goroutine has 2 kB of stack, too small for a handler: growing it, deep inside
// one, costs more than all the rest of a message. It implements actor.Dispatcher.
type dispatcher struct {
	mu      sync.Mutex
	idle    []*runner // the last to come is the first to go: its stack is warm
	stopped bool
	work    sync.WaitGroup
}

// runner is one goroutine.
type runner struct{ next chan func() }

const (
	// maxIdle bounds the goroutines that wait for work.
	maxIdle = 1024
	// throughput is how many messages an actor may take before it lets others run.
	throughput = 300
)

// Throughput implements actor.Dispatcher.
func (d *dispatcher) Throughput() int { return throughput }

// Schedule implements actor.Dispatcher.
func (d *dispatcher) Schedule(run func()) {
	d.mu.Lock()
	if n := len(d.idle); n > 0 {
		r := d.idle[n-1]
		d.idle = d.idle[:n-1]
		d.mu.Unlock()
		r.next <- run
		return
	}
	if d.stopped { // the last word of a goroutine to an actor that is gone
		d.mu.Unlock()
		run()
		return
	}
	d.work.Add(1)
	d.mu.Unlock()
	go d.keepRunning(&runner{next: make(chan func(), 1)}, run)
}

func (d *dispatcher) keepRunning(r *runner, run func()) {
	ended := false
	defer func() {
		if !ended { // a handler ended the goroutine: its mailbox still wants one
			go d.keepRunning(r, run)
			return
		}
		d.work.Done()
	}()
	for run != nil {
		run()
		if !d.rest(r) {
			ended = true
			return
		}
		run = <-r.next
	}
	ended = true
}

// rest reports whether the runner may wait for more.
func (d *dispatcher) rest(r *runner) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped || len(d.idle) >= maxIdle {
		return false
	}
	d.idle = append(d.idle, r)
	return true
}

// stop ends the goroutines that wait, and each other one when its actor has nothing left.
func (d *dispatcher) stop() {
	d.mu.Lock()
	d.stopped = true
	for _, r := range d.idle {
		r.next <- nil
	}
	d.idle = nil
	d.mu.Unlock()
}
