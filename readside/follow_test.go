package readside_test

import (
	"testing"

	"github.com/skerryhq/skerry/readside"
)

func TestRowsFollowTheLog(t *testing.T) {
	t.Parallel()
	log, db := newLog(4), openFile(t, "")
	log.Store("account", "ann", payment(1), payment(2))
	r := start(t, readside.Config{Source: log, Processors: []readside.Processor{readside.SQL("balances", db.Write(), readside.On(addUp))}})
	log.Store("account", "bob", payment(10))
	await(t, r, "balances", log.Token())
	await(t, r, "balances", log.Store("account", "ann", payment(4)))
	if ann, bob := cents(t, db.Read(), "ann"), cents(t, db.Read(), "bob"); ann != 7 || bob != 10 {
		t.Errorf("ann has %d and bob %d, want 7 and 10", ann, bob)
	}
}
