package entity_test

import (
	"fmt"
	"sync"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// follower reads one shard as a processor does: woken by changes, from its own position.
type follower struct {
	t      *testing.T
	feed   *entity.Feed
	shard  uint32
	wake   chan struct{}
	next   uint64 // record
	offset uint64
	reader entity.StoredReader
	seen   []int64
}

func (f *follower) changed(shard uint32) {
	if shard != f.shard {
		return
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// readTo reads until it has seen so many events. Records must be dense, and so must their offsets.
func (f *follower) readTo(events int) {
	for len(f.seen) < events {
		records, err := f.feed.Records(f.t.Context(), f.shard, f.next, 200)
		if err != nil {
			f.t.Error(err)
			return
		}
		for _, rec := range records {
			f.take(rec)
		}
		if len(records) > 0 {
			continue
		}
		select {
		case <-f.wake:
		case <-f.t.Context().Done():
			f.t.Errorf("saw %d of %d events", len(f.seen), events)
			return
		}
	}
}

func (f *follower) take(rec journal.Record) {
	if rec.Number != f.next || rec.FirstOffset != f.offset+1 {
		f.t.Errorf("record %d with offset %d came behind record %d with offset %d", rec.Number, rec.FirstOffset, f.next-1, f.offset)
	}
	f.next++
	f.offset = rec.NextOffset() - 1
	err := f.reader.Each(rec, func(s *entity.Stored) error {
		for _, ev := range s.Events {
			msg, err := tallies.Decode(ev.Type, ev.Payload)
			if err != nil {
				return err
			}
			f.seen = append(f.seen, msg.(*wrapperspb.Int64Value).GetValue())
		}
		return nil
	})
	if err != nil {
		f.t.Error(err)
	}
}

// TestFollowersSeeEveryEventOnceInOrder lets readers begin at different times: some read the journal
// first and come to the memory later, some are live from the start.
func TestFollowersSeeEveryEventOnceInOrder(t *testing.T) {
	t.Parallel()
	h := startHost(t, journal.NewMemory(), func(c *entity.Config) { c.Shards = 1 })
	const events, followers = 600, 4
	var reading sync.WaitGroup
	all := make([]*follower, followers)
	for i := range events {
		if i%(events/followers) == 0 {
			f := &follower{t: t, feed: h.Feed(), wake: make(chan struct{}, 1), next: 1}
			all[i/(events/followers)] = f
			stop := h.Feed().Watch(f.changed)
			reading.Go(func() {
				defer stop()
				f.readTo(events)
			})
		}
		if _, err := addTo.Ask(long(t), tallies.Ref(h, fmt.Sprint(i%7)), wrapperspb.Int64(int64(i))); err != nil {
			t.Fatal(err)
		}
	}
	reading.Wait()
	for n, f := range all {
		for i, v := range f.seen {
			if v != int64(i) {
				t.Fatalf("follower %d saw %d as event %d", n, v, i)
			}
		}
	}
}

func TestAFeedTellsWhereTheLogEndsAndWhoServesIt(t *testing.T) {
	t.Parallel()
	h := startHost(t, journal.NewMemory(), func(c *entity.Config) { c.Shards = 1 })
	var r entity.Receipt
	if _, err := addTo.Ask(long(t), tallies.Ref(h, "a"), wrapperspb.Int64(1), entity.Receive(&r)); err != nil {
		t.Fatal(err)
	}
	head, serves := h.Feed().Head(0)
	if !serves || head.NextOffset()-1 < r.Token.Offset(0) {
		t.Errorf("the head is %+v, serves %v, after the answer with %v", head, serves, r.Token)
	}
	if h.Feed().History() != r.Token.History || h.Feed().Shards() != 1 || len(h.Feed().Types()) != 1 {
		t.Errorf("history %q, %d shards, %d types", h.Feed().History(), h.Feed().Shards(), len(h.Feed().Types()))
	}
}
