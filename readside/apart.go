package readside

import (
	"context"
	"errors"
)

// This file runs handlers on a goroutine that they may end: runtime.Goexit, which is what t.FailNow does, cannot
// be recovered as a panic can, and would take the worker and its transaction along.

// errGoexit is the error of a handler that ended its goroutine.
var errGoexit = errors.New("the handler ended its goroutine (runtime.Goexit, or FailNow of a test): it must return")

// apart runs f on a goroutine of its own and waits for it; false means that f did not return.
func apart(f func()) bool {
	returned := make(chan bool, 1)
	go func() {
		done := false
		defer func() { returned <- done }()
		f()
		done = true
	}()
	return <-returned
}

// handleApart is handleAll.
func (w *worker) handleApart(ctx context.Context, tx *transaction, b *batch) (f *failure) {
	defer func() { w.under = nil }()
	if apart(func() { f = w.handleAll(ctx, tx, b) }) {
		return f
	}
	for _, s := range b.shares {
		if i := w.indexUnder(s.steps); i >= 0 {
			return &failure{kind: ofCommand, err: errGoexit, share: s, step: i}
		}
	}
	return &failure{kind: ofDatabase, err: errGoexit}
}

// parkedApart is handleParked.
func (w *worker) parkedApart(ctx context.Context, tx *transaction, steps []step, known error) (at int, err error) {
	defer func() { w.under = nil }()
	if apart(func() { at, err = w.handleParked(ctx, tx, steps, known) }) {
		return at, err
	}
	return w.indexUnder(steps), errGoexit
}

// indexUnder finds the step whose handlers ran last; -1 if it is none of these.
func (w *worker) indexUnder(steps []step) int {
	for i := range steps {
		if &steps[i] == w.under {
			return i
		}
	}
	return -1
}
