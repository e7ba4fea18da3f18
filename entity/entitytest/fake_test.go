package entitytest_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// fakeTB records what a test would have reported.
type fakeTB struct {
	testing.TB
	cleanups []func()
	reports  []string
}

func (f *fakeTB) Helper()                           {}
func (f *fakeTB) Name() string                      { return "fake" }
func (f *fakeTB) Failed() bool                      { return len(f.reports) > 0 }
func (f *fakeTB) Cleanup(fn func())                 { f.cleanups = append(f.cleanups, fn) }
func (f *fakeTB) Errorf(format string, args ...any) { f.report(fmt.Sprintf(format, args...)) }
func (f *fakeTB) Fatalf(format string, args ...any) { f.Errorf(format, args...); runtime.Goexit() }
func (f *fakeTB) FailNow()                          { runtime.Goexit() }
func (f *fakeTB) report(text string)                { f.reports = append(f.reports, text) }

// reportsOf runs a story as a test of its own, its end included, and returns what it reported.
func reportsOf(story func(testing.TB)) string {
	f := &fakeTB{}
	inGoroutine(func() { story(f) })
	for _, fn := range f.cleanups {
		inGoroutine(fn)
	}
	return strings.Join(f.reports, "\n")
}

// inGoroutine lets fn end early by Goexit, as FailNow does.
func inGoroutine(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	<-done
}
