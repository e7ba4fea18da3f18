package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal/pebble"
)

var recordJournal = flag.String("record-journal", "", "the release whose journal is to be added to testdata")

// recorder makes a journal, and writes down what was answered.
type recorder struct {
	golden
	t     *testing.T
	clock atomic.Int64
	host  *entity.Host
}

// TestRecordAJournal adds the journal of this release for the tests of later ones. It refuses to change one.
func TestRecordAJournal(t *testing.T) {
	if *recordJournal == "" {
		t.Skip("it is for cutting a release: -record-journal VERSION")
	}
	dir := filepath.Join("testdata", *recordJournal)
	if _, err := os.Stat(dir); err == nil {
		t.Fatalf("%s is there already: no release has two", dir)
	}
	record(t, dir)
}

func TestAJournalThatIsRecordedNowIsReadAsItWas(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "now")
	record(t, dir)
	h := reviveFrom(t, dir)
	standAsThen(t, h)
	repeat(t, h)
}

func record(t *testing.T, dir string) {
	t.Helper()
	r := &recorder{t: t}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	r.clock.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	config := pebble.Config{Dir: filepath.Join(dir, "pebble")}
	must(os.MkdirAll(dir, 0o755))
	j, err := pebble.Open(config)
	must(err)
	r.host, err = entity.Start(t.Context(), entity.Config{
		Journal: j, Types: Types(), Shards: 4, Node: "recorder", Clock: func() time.Time { return time.Unix(0, r.clock.Load()) }, Logger: slog.New(slog.DiscardHandler),
	})
	must(err)
	r.play()
	must(r.host.Stop(t.Context()))
	must(j.Close())
	j, err = pebble.Open(config) // writes the log of the last minutes into a table, which is compressed
	must(err)
	must(j.Close())
	r.Now = time.Unix(0, r.clock.Load()).UTC()
	text, err := json.Marshal(r.golden)
	must(err)
	must(os.WriteFile(filepath.Join(dir, "expected.json"), text, 0o644))
}

// play has something of everything that a lot can have gone through.
func (r *recorder) play() {
	bid := func(who string, cents int64) proto.Message {
		return &auctionv1.PlaceBid{Bidder: who, AmountCents: cents}
	}
	timed := &auctionv1.OpenLot_ClosesAfter{ClosesAfter: durationpb.New(time.Hour)}
	r.send("lamp", "open", &auctionv1.OpenLot{Title: "A brass lamp", OpeningCents: 10_00, Closing: timed})
	r.send("vase", "open", &auctionv1.OpenLot{Title: "A vase", OpeningCents: 1_00})
	r.send("violin", "open", &auctionv1.OpenLot{Title: "A violin, restored", OpeningCents: 20_00})
	for i := range int64(8) {
		for _, lot := range []string{"lamp", "vase", "violin"} {
			r.send(lot, fmt.Sprint("bid-", i), bid(string(rune('a'+i%3))+"-bidder", 15_00+i*3_33))
		}
		r.send("violin", fmt.Sprint("floor-", i), &auctionv1.PlaceFloorBid{Paddle: int32(5 + i%2), AmountCents: 16_00 + i*3_50})
	}
	r.send("violin", "going-once", &auctionv1.RaiseHammer{})
	r.send("vase", "close", &auctionv1.CloseLot{})
	r.send("vase", "late", bid("zoë", 99_00))
	r.send("lamp", "close", &auctionv1.CloseLot{})
	for _, lot := range []string{"lamp", "vase", "violin"} {
		r.see(lot)
	}
}

func (r *recorder) call(lot, key string, cmd proto.Message) (*auctionv1.LotView, uint64, error) {
	payload, err := proto.Marshal(cmd)
	if err != nil {
		return nil, 0, err
	}
	req := &entity.Request{Type: "lot", ID: lot, Command: short(cmd), Payload: payload}
	if key != "" {
		req.Key = entity.CallerKey(key)
	}
	resp, err := r.host.Call(r.t.Context(), req)
	if err != nil {
		return nil, 0, err
	}
	view := &auctionv1.LotView{}
	return view, resp.Receipt.Version, proto.Unmarshal(resp.Payload, view)
}

func short(cmd proto.Message) string { return string(cmd.ProtoReflect().Descriptor().Name()) }

func (r *recorder) text(m proto.Message) json.RawMessage {
	b, err := protojson.Marshal(m)
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func (r *recorder) send(lot, key string, cmd proto.Message) {
	r.t.Helper()
	r.clock.Add(int64(250 * time.Millisecond))
	view, version, err := r.call(lot, key, cmd)
	a := goldenAnswer{Lot: lot, Key: key, Command: short(cmd), Payload: r.text(cmd)}
	var no *entity.Rejection
	switch {
	case errors.As(err, &no):
		a.Rejected = no.Code
	case err != nil:
		r.t.Fatal(err)
	default:
		a.Version, a.Reply = version, r.text(view)
	}
	r.Answers = append(r.Answers, a)
}

func (r *recorder) see(lot string) {
	r.t.Helper()
	view, version, err := r.call(lot, "", &auctionv1.GetLot{Newest: 20})
	if err != nil {
		r.t.Fatal(err)
	}
	info, err := r.host.Inspect(r.t.Context(), "lot", lot, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	l := goldenLot{Lot: lot, Version: version, View: r.text(view)}
	for _, e := range info.Events {
		l.Events = append(l.Events, goldenEvent{e.Type, e.Data})
	}
	r.Lots = append(r.Lots, l)
}
