package main

import (
	"flag"
	"strings"

	"github.com/skerryhq/skerry/cmd/skerry/internal/bench"
)

// isCassandra tells whether a journal is named by the URL of one in Cassandra.
func isCassandra(name string) bool { return strings.HasPrefix(name, "cassandra:") }

// benchJournal declares which journal is measured. A wrong URL is told later: the flag package would print
// the value, which may hold what should not be there.
func benchJournal(flags *flag.FlagSet, s *bench.Setup) {
	s.Journal = bench.Pebble
	const usage = "the `journal` under the host: pebble, memory, or one in Cassandra, cassandra://HOST:PORT/KEYSPACE?dev=1, " +
		"where each run has a keyspace of its own whose name begins like this (default pebble)"
	flags.Func("journal", usage, func(name string) error {
		s.Journal = name
		if isCassandra(name) {
			s.Journal, s.URL = bench.Cassandra, name
		}
		return nil
	})
}
