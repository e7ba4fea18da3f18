package main

import (
	"context"
	"os"
	"time"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue"
	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue/cataloguetest"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/cassandra"
	"github.com/skerryhq/skerry/readside/postgres"
)

// check is what must be so after whatever has happened, when nobody bids any more: each shard is served by one
// node; what callers were told is in the log, once; timers have fired once; any node shows it; the read model is the fold of the log.
func (f *fleet) check() {
	f.t.Helper()
	f.awaitWhole()
	j := f.openJournal()
	defer func() {
		if err := j.Close(); err != nil {
			f.t.Error(err)
		}
	}()
	f.awaitDeadlines()
	logged := f.histories(patientReader{j})
	for _, l := range f.crowd.lots {
		view := f.view(l.id)
		for _, problem := range append(l.compareKeys(logged[l.id]), l.compareTimes(logged[l.id], view)...) {
			f.t.Errorf("lot %s: %s", l.id, problem)
		}
	}
	f.compareTables(patientReader{j})
	if f.t.Failed() {
		f.t.FailNow()
	}
	f.t.Log(f.crowd.summary())
}

func (f *fleet) openJournal() journal.Journal {
	f.t.Helper()
	cfg, err := cassandra.ParseURL(f.journal, os.Getenv)
	if err != nil {
		f.t.Fatal(err)
	}
	cfg.Timeout = patience // of a look; what the nodes are patient with is their own
	j, err := cassandra.Open(f.t.Context(), cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	return j
}

// view is what any node says of a lot.
func (f *fleet) view(lot string) *auctionv1.LotView {
	f.t.Helper()
	ctx, done := context.WithTimeout(f.t.Context(), patience)
	defer done()
	answer, err := f.any().client.Load().Lot(ctx, lot, auction.KeptBids)
	if err != nil {
		f.t.Fatalf("lot %s: %v", lot, err)
	}
	return answer.View
}

func (f *fleet) awaitDeadlines() {
	f.t.Helper()
	for _, l := range f.crowd.lots {
		for end := time.Now().Add(patience); !l.deadline.IsZero() && !f.view(l.id).GetClosed(); <-time.After(50 * time.Millisecond) {
			if time.Now().After(end) {
				f.t.Fatalf("lot %s is still open, its deadline was %v", l.id, l.deadline)
			}
		}
	}
}

// histories are what the logs have of each lot. The logs are dense and their epochs never fall.
func (f *fleet) histories(j patientReader) map[string]history {
	f.t.Helper()
	all := map[string]history{}
	for shard := range uint32(fleetShards) {
		var reader entity.StoredReader
		var epoch uint64
		for next := uint64(1); ; {
			records, err := j.Read(f.t.Context(), shard, next, 1<<20)
			if err != nil {
				f.t.Fatal(err)
			}
			if len(records) == 0 {
				break
			}
			for _, rec := range records {
				if rec.Number != next || rec.Epoch < epoch {
					f.t.Fatalf("shard %d: record %d of epoch %d follows record %d of epoch %d", shard, rec.Number, rec.Epoch, next-1, epoch)
				}
				next, epoch = next+1, rec.Epoch
				if err := reader.Each(rec, func(s *entity.Stored) error { return remember(all, s) }); err != nil {
					f.t.Fatal(err)
				}
			}
		}
	}
	return all
}

func remember(all map[string]history, s *entity.Stored) error {
	if s.Type != auction.Lots.Name() {
		return nil
	}
	h := all[s.ID]
	for _, e := range s.Events {
		msg, err := auction.Lots.Decode(e.Type, e.Payload)
		if err != nil {
			return err
		}
		h.events++
		switch e := msg.(type) {
		case *auctionv1.BidTaken:
			h.bids, h.keys = append(h.bids, e), append(h.keys, s.Key.String())
		case *auctionv1.LotClosed:
			h.closed, h.closers = append(h.closed, e), append(h.closers, s.Key.String())
		}
	}
	all[s.ID] = h
	return nil
}

// compareTables waits until the tables have seen all events, and wants them to be the fold of those.
func (f *fleet) compareTables(j patientReader) {
	f.t.Helper()
	ctx := f.t.Context()
	db, err := postgres.Open(ctx, postgres.Config{URL: f.read, Name: "auction", Steps: catalogue.Steps()})
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	lots := catalogue.New(db.Write(), db.Read(), "")
	defer func() { _ = lots.Close() }()
	is, err := cataloguetest.Fold(ctx, j.Read, fleetShards, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; <-time.After(50 * time.Millisecond) {
		behind := ""
		at := position(f.t, db)
		for shard, head := range is.Offsets {
			if at.Offset(shard) != head {
				behind = at.String()
			}
		}
		if behind == "" {
			break
		}
		if time.Now().After(end) {
			f.t.Fatalf("the read model has seen %s, the log has %v", behind, is.Offsets)
		}
	}
	problems, err := is.Compare(ctx, lots)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, p := range problems {
		f.t.Errorf("the read model: %s", p)
	}
}
