package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// untilSkerry is the script command "until PATTERN... -- ARGS": skerry runs again and again until all patterns match what one run
// has printed.
func untilSkerry(ts *testscript.TestScript, neg bool, args []string) {
	missing, args := patterns(ts, neg, args)
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		err := ts.Exec("skerry", args...)
		said := ts.ReadFile("stdout")
		if err == nil && len(without(slices.Clone(missing), said)) == 0 {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("after %v skerry %q prints (%v)\n%s", patience, args, err, said)
		}
	}
}

// seenBySkerry is the script command "seen PATTERN... -- ARGS": skerry runs until all patterns match what it has printed, and is
// interrupted then.
func seenBySkerry(ts *testscript.TestScript, neg bool, args []string) {
	missing, args := patterns(ts, neg, args)
	path, err := exec.LookPath("skerry") // put there by testscript.Main
	ts.Check(err)
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Stderr = ts.MkAbs("."), ts.Stderr()
	cmd.Env = append(os.Environ(), "SKERRY_ADDR="+ts.Getenv("SKERRY_ADDR"))
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	said := ""
	for lines := bufio.NewScanner(out); len(missing) > 0 && lines.Scan(); {
		said += lines.Text() + "\n"
		missing = without(missing, said)
	}
	_, _ = fmt.Fprint(ts.Stdout(), said)
	_ = cmd.Process.Signal(os.Interrupt) // it may have ended
	_ = cmd.Wait()                       // how it ends does not matter
	if len(missing) > 0 {
		ts.Fatalf("skerry %q has not printed %q", args, missing)
	}
}

// patterns tells what is to be printed from the arguments of skerry.
func patterns(ts *testscript.TestScript, neg bool, args []string) (wanted, rest []string) {
	cut := slices.Index(args, "--")
	if neg || cut < 1 {
		ts.Fatalf("usage: until|seen PATTERN... -- ARGS")
	}
	return args[:cut:cut], args[cut+1:]
}

// without leaves out the patterns that match.
func without(patterns []string, said string) []string {
	return slices.DeleteFunc(patterns, func(p string) bool { return regexp.MustCompile("(?m)" + p).MatchString(said) })
}
