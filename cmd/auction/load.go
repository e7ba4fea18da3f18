package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// configFlag names the settings file; it is itself no line of one.
const configFlag = "config"

// arguments is what was on the command line beside the values of flags.
type arguments struct {
	// rest are those that are no flags.
	rest []string
	// flags are the names of the flags that were there.
	flags map[string]bool
}

// load fills the flags of fs from args, from the environment and from the settings
// file. Arguments that are no flags may stand between them.
func load(fs *flag.FlagSet, args []string, getenv func(string) string) (found arguments, err error) {
	path := fs.String(configFlag, "", "a file of settings, one a line, such as http = 127.0.0.1:8080")
	for len(args) > 0 {
		if err := fs.Parse(args); err != nil {
			return found, err
		}
		if args = fs.Args(); len(args) > 0 {
			found.rest, args = append(found.rest, args[0]), args[1:]
		}
	}
	found.flags = given(fs)
	if err := loadEnv(fs, found.flags, getenv); err != nil || *path == "" {
		return found, err
	}
	file, err := os.Open(*path)
	if err != nil {
		return found, fmt.Errorf("settings file: %w", err)
	}
	defer file.Close()
	if err := loadFile(fs, given(fs), file); err != nil {
		return found, fmt.Errorf("settings file %s: %w", *path, err)
	}
	return found, nil
}

// given returns the names of the flags that have been set.
func given(fs *flag.FlagSet) map[string]bool {
	names := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { names[f.Name] = true })
	return names
}

// envName is the environment variable of a flag: AUCTION_LOG_LEVEL for log-level.
func envName(flag string) string {
	return "AUCTION_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func loadEnv(fs *flag.FlagSet, given map[string]bool, getenv func(string) string) (err error) {
	fs.VisitAll(func(f *flag.Flag) {
		value := getenv(envName(f.Name))
		if value == "" || given[f.Name] || err != nil {
			return
		}
		if e := fs.Set(f.Name, value); e != nil {
			err = fmt.Errorf("%s is %q: %w", envName(f.Name), value, e)
		}
	})
	return err
}

// loadFile reads lines of the form name = value. Empty lines and lines that begin with # say nothing.
func loadFile(fs *flag.FlagSet, given map[string]bool, r io.Reader) error {
	lines := bufio.NewScanner(r)
	seen := map[string]bool{}
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if n == 1 {
			line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff")) // the mark that some editors put at the start
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case !ok:
			return fmt.Errorf("line %d: %q is not of the form name = value", n, line)
		case fs.Lookup(name) == nil || name == configFlag:
			return fmt.Errorf("line %d: there is no setting %q", n, name)
		case seen[name]:
			return fmt.Errorf("line %d: %q is set for the second time", n, name)
		}
		seen[name] = true
		if strings.HasPrefix(value, `"`) || strings.HasPrefix(value, "'") {
			return fmt.Errorf("line %d: the value of %s, %s, begins with a quote: write it without quotes, they would be part of it", n, name, value)
		}
		if given[name] {
			continue
		}
		if err := fs.Set(name, value); err != nil {
			return fmt.Errorf("line %d: %s is %q: %w", n, name, value, err)
		}
	}
	return lines.Err()
}
