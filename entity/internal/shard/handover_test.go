package shard

import (
	"testing"

	"github.com/skerryhq/skerry/journal"
)

func TestALookIsNotAnsweredByACheckThatWasUnderWay(t *testing.T) {
	t.Parallel()
	m := New(Config{Node: "n1", NewBatch: func() journal.Batch { return journal.Batch{1} }})
	m.Start(1)
	m.HeadRead(1, journal.Head{}, nil)
	claim := m.Ready().Append.Record
	m.Appended(1, journal.Slot{Taken: true, Holder: claim.Header}, nil)
	m.LogRead(1, []journal.Record{claim}, nil)
	if asked := m.Ready().LoadTimers; asked != nil {
		m.TimersLoaded(1, *asked, nil, nil)
	}
	m.Done()
	if m.Phase() != Serving {
		t.Fatalf("the shard is %v: %+v", m.Phase(), m.Info())
	}

	m.Look(2)
	first := *m.Ready().Check
	m.Done()
	m.Look(3) // of a claim that was appended since
	m.Checked(4, first.Seq, journal.Slot{}, nil)
	second := m.Ready().Check
	if second == nil {
		t.Fatal("a check that was sent before the second look has answered it")
	}
	m.Done()
	m.Checked(5, second.Seq, journal.Slot{}, nil)
	if m.Ready().Check != nil {
		t.Error("it looks on, though nothing asks it to")
	}
}
