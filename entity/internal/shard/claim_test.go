package shard

import (
	"errors"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/journal"
)

func TestCheckOrderNamesEachBrokenPromise(t *testing.T) {
	t.Parallel()
	prev := journal.Header{Number: 4, Epoch: 2, Writer: "n1", FirstOffset: 7, Events: 3}
	next := journal.Header{Number: 5, Epoch: 2, Writer: "n1", FirstOffset: 10}
	for _, c := range []struct {
		name   string
		change func(*journal.Header)
		want   string // "" for none
	}{
		{"a record of the owner", func(*journal.Header) {}, ""},
		{"another's claim", func(h *journal.Header) { h.Claim, h.Epoch, h.Writer = true, 3, "n2" }, ""},
		{"another number", func(h *journal.Header) { h.Number = 6 }, "calls itself 6"},
		{"a gap in the offsets", func(h *journal.Header) { h.FirstOffset = 11 }, "begins at offset 11; the one before it ends at 9"},
		{"a claim that does not raise the epoch", func(h *journal.Header) { h.Claim = true }, "epoch 2 behind epoch 2"},
		{"data of another epoch", func(h *journal.Header) { h.Epoch = 3 }, "epoch 3 behind epoch 2"},
		{"data of another writer", func(h *journal.Header) { h.Writer = "n2" }, "written by n2, but n1 owns"},
	} {
		h := next
		c.change(&h)
		err := CheckOrder(prev, h, 5)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (!errors.Is(err, journal.ErrCorrupt) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestTakeOverStopsAtALogThatCannotBe(t *testing.T) {
	t.Parallel()
	garbage := journal.NewRecord(journal.Header{Number: 1, Epoch: 1, Writer: "n0", FirstOffset: 1}, [][]byte{{0xff}})
	for _, c := range []struct {
		name    string
		records []journal.Record
		err     error
		want    string
	}{
		{"a checksum that does not hold", nil, journal.ErrCorrupt, "corrupt"},
		{"a log shorter than the claim", nil, nil, "the log ends before record 1"},
		{"an entry that cannot be read", []journal.Record{garbage}, nil, "record 1"},
		{"records that begin elsewhere", []journal.Record{{Header: journal.Header{Number: 2}}}, nil, "calls itself 2"},
	} {
		m := New(Config{Node: "n1", NewBatch: func() journal.Batch { return journal.Batch{1} }})
		m.Start(1)
		m.HeadRead(1, journal.Head{Last: garbage.Header}, nil)
		m.Appended(1, journal.Slot{Taken: true, Holder: m.Ready().Append.Record.Header}, nil)
		waiting := &Command{To: entityOf(0)}
		m.Command(1, waiting)
		m.Done()
		m.LogRead(1, c.records, c.err)
		r := m.Ready()
		switch {
		case m.Info().Phase != Halted, !strings.Contains(m.Info().Reason, c.want):
			t.Errorf("%s: the shard is %v: %s; want it halted with %q", c.name, m.Info().Phase, m.Info().Reason, c.want)
		case len(r.Answers) != 1 || r.Answers[0].Kind != Unavailable || len(r.Failures) != 1:
			t.Errorf("%s: %d answers, %d failures told; want one of each", c.name, len(r.Answers), len(r.Failures))
		}
	}
}
