package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

func TestWatcherFollowsANodeOverItsRestart(t *testing.T) {
	t.Parallel()
	var out, trouble strings.Builder
	w := &watching{out: &out, err: &trouble}
	f := following{node: &target{addr: "127.0.0.1:1"}}
	tell := func(process string, missed uint64, numbers ...uint64) {
		t.Helper()
		told := &adminv1.ClusterEvents{Node: "n1", Incarnation: process, Missed: missed}
		for _, n := range numbers {
			told.Events = append(told.Events, &adminv1.ClusterEvent{Number: n, Text: fmt.Sprintf("%s %d", process, n)})
		}
		if err := f.told(w, told); err != nil {
			t.Fatal(err)
		}
	}
	tell("a", 0, 1, 2)
	if err := errors.Join(f.failed(w, errors.New("refused")), f.failed(w, errors.New("refused"))); err != nil {
		t.Fatal(err)
	}
	tell("b", 0, 3) // asked for what came after 2, which is another process's
	if f.after != 0 {
		t.Errorf("the new process is asked for what came after %d", f.after)
	}
	tell("b", 7, 8, 9)
	var texts []string
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		texts = append(texts, line[strings.LastIndex(line, "  ")+2:])
	}
	if got := strings.Join(texts, ","); got != "a 1,a 2,b 8,b 9" || f.after != 9 {
		t.Errorf("it printed %s, and asks for what came after %d", got, f.after)
	}
	want := "127.0.0.1:1 does not answer; it is tried again: refused\n127.0.0.1:1 answers again\nn1: 7 events before these are not remembered any more\n"
	if trouble.String() != want {
		t.Errorf("of trouble it told\n%swant\n%s", &trouble, want)
	}
}

func TestWatcherGivesUpOnWhatWillNeverAnswer(t *testing.T) {
	t.Parallel()
	var trouble strings.Builder
	w := &watching{err: &trouble}
	for name, test := range map[string]struct {
		f     following
		err   error
		gives bool
	}{
		"the only node, never reached": {following{}, errors.New("refused"), true},
		"one of several":               {following{patient: true}, errors.New("refused"), false},
		"one that was reached":         {following{process: "a"}, errors.New("refused"), false},
		"a single node's service":      {following{patient: true}, fmt.Errorf("x: %w", errSingle), true},
	} {
		test.f.node = &target{}
		if err := test.f.failed(w, test.err); (err != nil) != test.gives {
			t.Errorf("%s: %v", name, err)
		}
	}
}
