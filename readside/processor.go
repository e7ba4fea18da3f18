package readside

import (
	"database/sql"
	"fmt"
	"strings"
	"unicode"
)

// Processor follows the logs and keeps something up to date; see [SQL].
type Processor struct {
	name  string
	db    *sql.DB
	rules []SQLRule
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
	switch {
	case name == "" || len(name) > maxProcessorName || strings.ContainsFunc(name, unicode.IsControl):
		panic(fmt.Sprintf("readside: SQL: the name %q: give one of 1 to %d bytes without control characters", name, maxProcessorName))
	case db == nil:
		panic(fmt.Sprintf("readside: SQL: processor %q has no database", name))
	case len(rules) == 0:
		panic(fmt.Sprintf("readside: SQL: processor %q has no rules", name))
	}
	seen := map[[2]string]bool{}
	for _, r := range rules {
		key := [2]string{r.entityType, r.message}
		if seen[key] {
			panic(fmt.Sprintf("readside: SQL: processor %q has two rules for %s: make it one", name, r.message))
		}
		seen[key] = true
	}
	return Processor{name, db, rules}
}
