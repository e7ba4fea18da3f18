package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// command is one verb of the tool.
type command struct {
	// name is one word, or two.
	name string
	// args names the positional arguments, in order. Those in brackets may be left out; "..." takes any number.
	args    []string
	summary string
	// prepare declares the command's flags and returns what runs once they are parsed.
	prepare func(*flag.FlagSet, terminal) action
}

// action does the work; args are the positional arguments, as many as the command names, or allows.
type action func(ctx context.Context, args []string) error

// commands is the whole tool. "help" is not in it: it prints this table.
func commands() []command {
	return []command{
		{"members", nil, "show the nodes of a cluster, how they are, and whether they agree (-addr takes several, with commas)", prepareMembers},
		{"shards", nil, "show each shard: owner, epoch, how far it is; in a cluster where it belongs, why, and what moves", prepareShards},
		{"drain", []string{"NODE"}, "free a node of shards and keep it so until undrain", prepareDrain},
		{"undrain", []string{"NODE"}, "let a node have shards again", prepareUndrain},
		{"move", []string{"[SHARD NODE | -clear SHARD...]"}, "have one shard live on one node; with -clear, take that back for the shards given, or for all", prepareMove},
		{"watch", nil, "show what moves in a cluster, live, the recent past first (-addr takes several, with commas)", prepareWatch},
		{"entity show", []string{"TYPE", "ID"}, "show one entity: state at any version, events, timers, remembered answers", prepareEntityShow},
		{"processors", nil, "show each processor of the read side: lag, errors, parked entities", prepareProcessors},
		{"processors parked", []string{"NAME"}, "list the entities that a processor has parked, and why", prepareParked},
		{"processors retry", []string{"NAME", "TYPE", "ID"}, "handle the parked events of an entity again, in order", prepareRetry},
		{"processors pause", []string{"NAME"}, "hold a processor, on all nodes and over restarts, until it is resumed", preparePause},
		{"processors resume", []string{"NAME"}, "end a pause", prepareResume},
		{"breakers", nil, "show each circuit breaker of one node: state, failures, what became of its calls", prepareBreakers},
		{"breakers show", []string{"ID"}, "show one circuit breaker: settings and last transitions", prepareBreaker},
		{"journal verify", nil, "check the logs of a journal, and pages, snapshots and timers against them", prepareVerify},
		{"journal stat", nil, "count what the logs of a journal hold", prepareStat},
		{"journal export", []string{"ARCHIVE"}, "write a journal into a portable archive, a directory", prepareExport},
		{"journal import", []string{"ARCHIVE"}, "fill a new journal from an archive", prepareImport},
		{"journal schema", nil, "print the CQL that makes a journal in Cassandra, to be applied by hand", prepareSchema},
		{"bench", nil, "measure commands per second, latency, CPU and memory on this machine; with -cluster, forwarding and faults", prepareBench},
		{"bench recovery", nil, "measure the recovery of an entity with many events and no snapshot", prepareRecovery},
		{"bench takeover", nil, "measure how long a host takes to own a shard whose pages are far behind its log", prepareTakeover},
		{"bench passive", nil, "measure what many passive entities leave in memory", preparePassive},
		{"bench start", nil, "measure from process start to first answer on a large journal", prepareStart},
		{"version", nil, "print the version of this program", prepareVersion},
	}
}

func dispatch(ctx context.Context, args []string, t terminal) error {
	if len(args) == 0 {
		help(t.err)
		return fmt.Errorf("%w: no command given", errUsage)
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		return helpOn(args[1:], t)
	case firstAnswerCommand:
		return firstAnswer(ctx, args[1:], t)
	case memberCommand:
		return runMember(ctx, args[1:], t)
	}
	c, rest, err := find(args)
	if err != nil {
		return err
	}
	return c.run(ctx, rest, t)
}

// find returns the command with the most words that the arguments begin with.
func find(args []string) (found command, rest []string, err error) {
	words := 0
	for _, c := range commands() {
		name := strings.Fields(c.name)
		if len(name) > words && len(name) <= len(args) && strings.Join(args[:len(name)], " ") == c.name {
			found, words = c, len(name)
		}
	}
	if words == 0 {
		return command{}, nil, fmt.Errorf("%w: no command %q: see skerry help", errUsage, strings.Join(args[:min(len(args), 2)], " "))
	}
	return found, args[words:], nil
}

func (c command) run(ctx context.Context, args []string, t terminal) error {
	flags := flag.NewFlagSet("skerry "+c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	do := c.prepare(flags, t)
	positional, err := parse(flags, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.describe(t.out)
		return nil
	case err != nil:
		return fmt.Errorf("%w: %w: see skerry help %s", errUsage, err, c.name)
	case len(positional) < c.needed():
		return fmt.Errorf("%w: %s is missing: %s", errUsage, strings.Join(c.args[len(positional):], " and "), c.usage())
	case len(positional) > len(c.args) && !slices.ContainsFunc(c.args, takesMany):
		return fmt.Errorf("%w: %q is too much: %s", errUsage, positional[len(c.args)], c.usage())
	}
	return do(ctx, positional)
}

func takesMany(arg string) bool { return strings.Contains(arg, "...") }

// parse takes flags before, between and after the positional arguments. After "--"
// there are no flags.
func parse(flags *flag.FlagSet, args []string) (positional []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		rest := flags.Args()
		if len(rest) == 0 {
			return positional, nil
		}
		if parsed := len(args) - len(rest); parsed > 0 && args[parsed-1] == "--" {
			return append(positional, rest...), nil
		}
		positional, args = append(positional, rest[0]), rest[1:]
	}
}

// needed is how many arguments must be there.
func (c command) needed() (n int) {
	for _, name := range c.args {
		if !strings.HasPrefix(name, "[") {
			n++
		}
	}
	return n
}

func (c command) usage() string {
	words := append([]string{"skerry", c.name}, c.args...)
	return "usage: " + strings.Join(append(words, "[flags]"), " ")
}

func (c command) describe(w io.Writer) {
	_, _ = fmt.Fprintf(w, "%s\n\n  %s\n\nflags:\n", c.usage(), c.summary)
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(w)
	c.prepare(flags, terminal{io.Discard, io.Discard, func(string) string { return "" }})
	flags.PrintDefaults()
}

func helpOn(args []string, t terminal) error {
	if len(args) == 0 {
		help(t.out)
		return nil
	}
	c, rest, err := find(args)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: no command %q: see skerry help", errUsage, strings.Join(args, " "))
	}
	if err != nil {
		return err
	}
	c.describe(t.out)
	return nil
}

func help(w io.Writer) {
	_, _ = fmt.Fprint(w, "skerry looks into a running service and measures a machine.\n\n")
	for _, c := range commands() {
		_, _ = fmt.Fprintf(w, "  %-22s %s\n", strings.Join(append([]string{c.name}, c.args...), " "), c.summary)
	}
	_, _ = fmt.Fprint(w, "\nFlags may stand before and after the arguments; each command has -json.\nskerry help COMMAND tells more about one.\n")
}
