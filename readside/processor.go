package readside

import (
	"database/sql"
	"fmt"
	"strings"
	"unicode"
)

// Processor follows the logs and keeps something up to date, or lets others know; see [SQL] and [AtLeastOnce].
type Processor struct {
	name  string
	db    *sql.DB
	rules []SQLRule
	// outside: the handlers call others, before the transaction that moves the offset.
	outside bool
}

// Name is the processor's name: progress is stored under it.
func (p Processor) Name() string { return p.name }

// maxProcessorName limits the bytes of a processor's name.
const maxProcessorName = 128

// SQL makes a processor that keeps rows of a SQL database, exactly once: what the rules
// write and how far the processor is commit in one transaction. The name is stored; one
// that was never seen begins with the first event. Each event goes to all rules that
// take it, in their order here; one that none takes is passed over.
//
// db is used for writing only, by one goroutine. With SQLite it must be the one connection that
// writes; see the folder sqlite.
//
// SQL panics on a wrong definition: an empty name, no rules, a rule given twice.
func SQL(name string, db *sql.DB, rules ...SQLRule) Processor {
	return define("SQL", name, db, rules)
}

func define(maker, name string, db *sql.DB, rules []SQLRule) Processor {
	switch {
	case name == "" || len(name) > maxProcessorName || strings.ContainsFunc(name, unicode.IsControl):
		panic(fmt.Sprintf("readside: %s: the name %q: give one of 1 to %d bytes without control characters", maker, name, maxProcessorName))
	case db == nil:
		panic(fmt.Sprintf("readside: %s: processor %q has no database", maker, name))
	case len(rules) == 0:
		panic(fmt.Sprintf("readside: %s: processor %q has no rules", maker, name))
	}
	seen := map[[2]string]bool{}
	for _, r := range rules {
		key := [2]string{r.entityType, r.message}
		if seen[key] {
			panic(fmt.Sprintf("readside: %s: processor %q has two rules for %s: make it one", maker, name, r.message))
		}
		seen[key] = true
	}
	return Processor{name: name, db: db, rules: rules}
}
