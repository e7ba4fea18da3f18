package readside_test

import (
	"fmt"
	"testing"

	"github.com/skerryhq/skerry/readside"
)

func TestRowsFollowTheLog(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db := newLog(4), open(t)
		log.Store("account", "ann", payment(1), payment(2))
		r := start(t, readside.Config{Source: log, Processors: []readside.Processor{readside.SQL("balances", db.Write(), readside.On(addUp))}})
		log.Store("account", "bob", payment(10))
		await(t, r, "balances", log.Token())
		await(t, r, "balances", log.Store("account", "ann", payment(4)))
		if ann, bob := cents(t, db.Read(), "ann"), cents(t, db.Read(), "bob"); ann != 7 || bob != 10 {
			t.Errorf("ann has %d and bob %d, want 7 and 10", ann, bob)
		}
	})
}

// Records that hold nothing for the processor fill a transaction's bytes before the first that does.
func TestManyRecordsWithoutEventsDoNotStopAShard(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db := newLog(1), open(t)
		for range 50 {
			log.Store("account", "ann") // a command without events
		}
		log.Store("account", "ann", payment(3))
		r := start(t, readside.Config{Source: log, MaxBytes: 500, Processors: []readside.Processor{readside.SQL("balances", db.Write(), readside.On(addUp))}})
		await(t, r, "balances", log.Token())
		if got := cents(t, db.Read(), "ann"); got != 3 {
			t.Errorf("ann has %d", got)
		}
	})
}

// One shard fills the room for records that wait, and then goes to another node.
func TestAShardThatGoesGivesItsRoomToOthers(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db := newLog(2), open(t)
		names := [2]string{}
		for i := 0; names[0] == "" || names[1] == ""; i++ {
			name := fmt.Sprint("a", i)
			names[log.ShardOf("account", name)] = name
		}
		r := start(t, readside.Config{Source: log, BufferBytes: 1, Processors: []readside.Processor{readside.SQL("balances", db.Write(), readside.On(addUp))}})
		log.Store("account", names[0], payment(1))
		log.Store("account", names[1], payment(1))
		await(t, r, "balances", log.Token())
		reading := make(chan struct{}, 1000)
		log.FailReads(func(uint32, uint64) error { reading <- struct{}{}; return nil })
		if err := r.Pause(t.Context(), "balances"); err != nil {
			t.Fatal(err)
		}
		log.Store("account", names[0], payment(1))
		<-reading // it has no room for more
		seen := log.Store("account", names[1], payment(7))
		log.Serve(0, false)
		if err := r.Resume(t.Context(), "balances"); err != nil {
			t.Fatal(err)
		}
		await(t, r, "balances", seen)
		if got := cents(t, db.Read(), names[1]); got != 8 {
			t.Errorf("%s has %d", names[1], got)
		}
	})
}
