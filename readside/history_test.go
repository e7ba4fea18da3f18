package readside_test

import (
	"strings"
	"testing"

	"github.com/skerryhq/skerry/readside"
)

// The shard that was followed in another history is the one that this node does not serve yet.
func TestNothingIsWrittenIntoTheTablesOfAnotherHistory(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		db, log, d := open(t), newLog(2), &defects{}
		ann, bob := accountIn(log, 0), accountIn(log, 1)
		r := start(t, quick(log, d.processor("balances", db.Write())))
		await(t, r, "balances", log.Store("account", bob, payment(1)))
		stop(t, r)

		other := newLog(2)
		other.SetHistory("other")
		other.Serve(1, false)
		other.Store("account", ann, payment(100))
		r = start(t, quick(other, d.processor("balances", db.Write())))
		until(t, "it halts", func() bool { return status(t, r, "balances").GetState() == "halted" })
		if reason := status(t, r, "balances").GetReason(); !strings.Contains(reason, "history other") {
			t.Errorf("the reason is %q", reason)
		}
		stop(t, r)
		if got := cents(t, db.Read(), ann); got != 0 {
			t.Errorf("%d cents of another history were written", got)
		}

		r = start(t, readside.Config{Source: log, Processors: []readside.Processor{d.processor("balances", db.Write())}})
		await(t, r, "balances", log.Store("account", ann, payment(7)))
		if got := cents(t, db.Read(), ann); got != 7 {
			t.Errorf("back with its own history there are %d cents, want 7", got)
		}
	})
}
