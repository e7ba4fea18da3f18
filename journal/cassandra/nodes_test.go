package cassandra

import (
	"testing"
	"time"

	"github.com/skerryhq/skerry/journal"
)

func TestOnlyWitnessesHaveATimeToLive(t *testing.T) {
	t.Parallel()
	j := opened(t, fresh(t))
	if err := j.PutWitness(within(t), journal.Witness{Address: "a:1", Incarnation: "1"}); err != nil {
		t.Fatal(err)
	}
	made := journal.Register{Name: "pin", Revision: 1, Attempt: journal.NewBatch(), Value: []byte("x")}
	if _, err := swapped(t, j, journal.Placement, "p", made); err != nil {
		t.Fatal(err)
	}
	var left, none *int
	if err := j.session.Query("SELECT TTL(beat) FROM nodes WHERE part = ? AND address = 'a:1'", nodesPart).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if least := int(journal.WitnessLife.Seconds()); left == nil || *left < least || *left > int(witnessLife.Seconds()) {
		t.Errorf("a witness has %v seconds to live, want at least %d", left, least)
	}
	if err := j.session.Query("SELECT TTL(value) FROM placement WHERE part = 'p' AND name = 'pin'").Scan(&none); err != nil || none != nil {
		t.Errorf("a register has %v seconds to live, %v, want no end", none, err)
	}
}

func TestANewProcessTakesAWitnessOverFromAClockAhead(t *testing.T) {
	t.Parallel()
	cfg := fresh(t)
	before, after := opened(t, cfg), opened(t, cfg)
	before.witnessed.learn("a:1", time.Now().Add(time.Hour).UnixMicro()) // as if its clock were
	for beat := range uint64(2) {
		if err := before.PutWitness(within(t), journal.Witness{Address: "a:1", Incarnation: "before", Beat: beat}); err != nil {
			t.Fatal(err)
		}
	}
	for beat := range uint64(3) {
		if err := after.PutWitness(within(t), journal.Witness{Address: "a:1", Incarnation: "after", Beat: beat}); err != nil {
			t.Fatal(err)
		}
		got, err := after.Witnesses(within(t))
		if err != nil || len(got) != 1 || got[0].Incarnation != "after" || got[0].Beat != beat {
			t.Errorf("witnesses %+v, %v, want beat %d of the new process", got, err, beat)
		}
	}
}
