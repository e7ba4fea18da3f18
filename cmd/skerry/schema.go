package main

import (
	"context"
	"flag"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/skerryhq/skerry/journal/cassandra"
)

// schemaFlags are those of "skerry journal schema".
// defaultFactor is how many replicas production wants.
const defaultFactor = 3

type schemaFlags struct {
	keyspace   string
	factor     int
	centres    factors
	compaction string
}

func prepareSchema(flags *flag.FlagSet, t terminal) action {
	var s schemaFlags
	flags.StringVar(&s.keyspace, "keyspace", "skerry", "the keyspace's `name`")
	flags.IntVar(&s.factor, "replication-factor", defaultFactor, "replicas in each data centre")
	flags.Var(&s.centres, "dc", "replicas in the data centres named, and in no other, such as `east=3,west=3`")
	flags.StringVar(&s.compaction, "compaction", cassandra.DefaultCompaction, "compaction of all tables, in `CQL`")
	asJSON := jsonFlag(flags)
	return func(context.Context, []string) error {
		statements, err := s.statements()
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		if *asJSON {
			return printJSON(t.out, statements)
		}
		_, err = fmt.Fprintln(t.out, strings.Join(statements, ";\n\n")+";")
		return err
	}
}

// plainName is what stands in CQL without quotes; with others a statement could mean something else.
var plainName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,47}$`)

func (s schemaFlags) statements() ([]string, error) {
	switch {
	case !plainName.MatchString(s.keyspace):
		return nil, fmt.Errorf("-keyspace %q: use up to 48 lower-case letters, digits and underscores, a letter first", s.keyspace)
	case len(s.centres) > 0 && s.factor != defaultFactor:
		return nil, fmt.Errorf("-replication-factor %d and -dc %s: give the number with each data centre, as in -dc east=%d", s.factor, &s.centres, s.factor)
	case s.compaction != "" && !strings.HasPrefix(s.compaction, "{"):
		return nil, fmt.Errorf("-compaction %s: give the map of CQL, as in {'class': 'LeveledCompactionStrategy'}", s.compaction)
	case s.factor < 1:
		return nil, fmt.Errorf("-replication-factor %d: use 3, or 1 for development", s.factor)
	}
	return cassandra.Schema(s.keyspace, s.replication(), s.compaction), nil
}

func (s schemaFlags) replication() string {
	of := s.centres
	if len(of) == 0 {
		of = factors{{"replication_factor", s.factor}}
	}
	words := []string{"'class': 'NetworkTopologyStrategy'"}
	for _, c := range of {
		words = append(words, fmt.Sprintf("'%s': %d", c.name, c.factor))
	}
	return "{" + strings.Join(words, ", ") + "}"
}

// factors is a flag with the replicas of several data centres.
type factors []struct {
	name   string
	factor int
}

func (f *factors) String() string {
	var words []string
	for _, c := range *f {
		words = append(words, fmt.Sprintf("%s=%d", c.name, c.factor))
	}
	return strings.Join(words, ",")
}

var centreName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

func (f *factors) Set(text string) error {
	var found factors
	for word := range strings.SplitSeq(text, ",") {
		name, number, _ := strings.Cut(strings.TrimSpace(word), "=")
		factor, err := strconv.Atoi(number)
		if err != nil || factor < 1 || !centreName.MatchString(name) {
			return fmt.Errorf("%q is not NAME=REPLICAS", word)
		}
		found = append(found, struct {
			name   string
			factor int
		}{name, factor})
	}
	*f = found
	return nil
}
