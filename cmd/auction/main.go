package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() { os.Exit(run(os.Args[1:], os.Getenv, os.Stdout, os.Stderr)) }

// program is what a command gets from outside.
type program struct {
	args     []string
	getenv   func(string) string
	out, err io.Writer
}

// usageError is a mistake in how the program was called; it exits with 2, anything else with 1.
type usageError struct{ error }

// run does what the arguments say until it is done or told to end: by the first
// SIGINT or SIGTERM in good order, by the second at once.
func run(args []string, getenv func(string) string, out, err io.Writer) int {
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer restore()
	context.AfterFunc(ctx, restore) // a second signal finds the system's own handler, which ends the process
	command := serve
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		named, ok := map[string]func(context.Context, program) error{"demo": runDemo, "replay": runReplay}[args[0]]
		if !ok {
			fmt.Fprintf(err, "auction: there is no command %q: use demo, replay FILE.csv, or none to serve; -h lists the settings\n", args[0])
			return 2
		}
		command, args = named, args[1:]
	}
	return exitCode(command(ctx, program{args, getenv, out, err}), err)
}

func exitCode(err error, to io.Writer) int {
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(to, "auction: %v; -h lists the settings\n", err)
		return 2
	}
	fmt.Fprintf(to, "auction: %v\n", err)
	return 1
}

// settings reads the settings, and whatever else was registered, in the three ways. It returns
// what else is on the command line.
func (p program) settings(fs *flag.FlagSet, usage string, into *Settings) (arguments, error) {
	into.register(fs)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	found, err := load(fs, p.args, p.getenv)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(p.out, "usage: %s\n\n", usage)
		printTable(fs, p.out)
		return found, err
	}
	if err == nil {
		err = into.check()
	}
	if err != nil {
		return found, usageError{err}
	}
	return found, nil
}

// none refuses arguments where there is nothing to name.
func none(found arguments) error {
	if len(found.rest) > 0 {
		return usageError{fmt.Errorf("what is %q? This takes settings only", found.rest[0])}
	}
	return nil
}
