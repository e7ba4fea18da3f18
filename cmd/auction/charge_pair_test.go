package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/skerryhq/skerry/cluster/admin"
	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue/cataloguetest"
	"github.com/skerryhq/skerry/cmd/auction/internal/client"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	paymentsv1 "github.com/skerryhq/skerry/cmd/payments/proto/payments/v1"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/pebble"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

const chargeShards = 8

// pair is the two real services, as processes, with a neighbour of faults between them.
type pair struct {
	t                       *testing.T
	luck                    *rand.Rand
	dir                     string
	auctionBin, paymentsBin string
	callTimeout, reset      time.Duration
	between                 *neighbour
	auction, payments       *process
	http                    *http.Client
	bids                    atomic.Int64 // that were taken
}

func newPair(t *testing.T, callTimeout, reset time.Duration) *pair {
	t.Helper()
	p := &pair{
		t: t, luck: luck(t), dir: t.TempDir(), auctionBin: build(t), callTimeout: callTimeout, reset: reset,
		http: &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 100}},
	}
	p.paymentsBin = filepath.Join(t.TempDir(), "payments")
	if out, err := exec.Command("go", "build", "-o", p.paymentsBin, "../payments").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	t.Cleanup(p.http.CloseIdleConnections)
	p.between = newNeighbour(t, 2*callTimeout)
	p.startPayments()
	p.startAuction()
	return p
}

// luck is that of SKERRY_SEED, if there is one.
func luck(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SKERRY_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SKERRY_SEED: %v", err)
		}
	}
	t.Logf("SKERRY_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func (p *pair) start(bin, data string, args ...string) *process {
	p.t.Helper()
	args = append(args, "-data", filepath.Join(p.dir, data), "-http", ":0", "-admin", ":0", "-shards", strconv.Itoa(chargeShards), "-log-level", "error", "-drain", drainPatience)
	started, err := launch(bin, p.dir, nil, args...)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(started.kill)
	return started
}

func (p *pair) startPayments() {
	p.t.Helper()
	p.payments = p.start(p.paymentsBin, "payments")
	p.between.forwardTo(p.payments.http)
}

func (p *pair) startAuction() {
	p.t.Helper()
	p.auction = p.start(p.auctionBin, "house", "-payments", p.between.url(),
		"-payments-call-timeout", p.callTimeout.String(), "-payments-reset-timeout", p.reset.String())
}

func (p *pair) client() *client.Client { return client.New(p.auction.http, p.http) }

func (p *pair) admin() *admin.Client {
	return &admin.Client{Addr: strings.TrimPrefix(p.auction.admin, "http://"), HTTP: p.http}
}

// sell puts lots up and bids on them until ctx ends; each closes by itself soon. Every fifth finds no bidder, and the one after it
// lasts longer: so there are bids in time also where a command takes as long as others last.
func (p *pair) sell(ctx context.Context, name string, luck *rand.Rand, pause time.Duration) {
	c := p.client()
	for n := 0; ctx.Err() == nil; n++ {
		id := fmt.Sprint(name, "-", n)
		after := time.Duration(20+luck.IntN(150)) * time.Millisecond
		if n%5 == 1 {
			after += 2 * time.Second
		}
		lasts := durationpb.New(after)
		_, err := c.Command(ctx, id, "open", &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 100, Closing: &auctionv1.OpenLot_ClosesAfter{ClosesAfter: lasts}})
		for bid := 0; err == nil && n%5 > 0 && bid < 1+luck.IntN(3); bid++ {
			_, err = c.Command(ctx, id, fmt.Sprint(name, "-", bid), &auctionv1.PlaceBid{Bidder: fmt.Sprint("bidder-", luck.IntN(9), "-", bid), AmountCents: int64(100 + 50*bid + luck.IntN(40))})
		}
		if err == nil && n%5 > 0 {
			p.bids.Add(1)
		}
		if no := client.Rejected(err); err != nil && ctx.Err() == nil && no != "closed" && no != "low" && no != "own-maximum" {
			p.t.Errorf("lot %s: %v", id, err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// status is what the auction tells of the processor that charges.
func (p *pair) status() *adminv1.Processor {
	all, err := p.admin().Status(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	for _, of := range all.GetProcessors() {
		if of.GetName() == "charge" {
			return of
		}
	}
	p.t.Fatal("nobody charges")
	return nil
}

// openLots is how many lots the catalogue shows as open.
func (p *pair) openLots() int64 {
	p.t.Helper()
	resp, err := p.http.Get(p.auction.http + "/v1/lots?state=open&live=false")
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	list := &auctionv1.LotList{}
	if err == nil {
		err = protojson.Unmarshal(text, list)
	}
	if err != nil {
		p.t.Fatalf("%v: %s", err, text)
	}
	return list.GetTotal()
}

// awaitCharges waits until all lots have closed, which they do by themselves, and their winners are charged.
func (p *pair) awaitCharges(atMost time.Duration) {
	p.t.Helper()
	for end := time.Now().Add(atMost); ; <-time.After(10 * time.Millisecond) {
		s := p.status()
		switch {
		case s.GetParkedEntities() > 0:
			p.t.Fatalf("an entity is parked, which no fault may do: %v", s)
		case s.GetLagEvents() == 0 && p.openLots() == 0 && p.status().GetLagEvents() == 0:
			return
		case time.Now().After(end):
			p.t.Fatalf("after %v charges are missing: %v", atMost, s)
		}
	}
}

// sweep stops both services and holds the payments' journal against the auction's: each lot that closed with a winner
// was charged once, that winner and that price; nothing else was.
func (p *pair) sweep() (closed, charged int) {
	p.t.Helper()
	for _, running := range []*process{p.auction, p.payments} {
		if err := running.stop(os.Interrupt); err != nil {
			p.t.Fatal(err)
		}
	}
	var lots *cataloguetest.Truth
	p.read("house", func(j journal.Journal) (err error) {
		lots, err = cataloguetest.Fold(p.t.Context(), j.Read, chargeShards, nil)
		return err
	})
	payments := map[string][]*paymentsv1.Charged{}
	p.read("payments", func(j journal.Journal) error { return foldPayments(p.t.Context(), j, payments) })
	problems := compareCharges(lots.Lots, payments)
	if len(problems) > 0 {
		p.t.Errorf("%s", strings.Join(problems[:min(len(problems), 20)], "\n"))
	}
	for _, l := range lots.Lots {
		if l.GetClosed() {
			closed++
		}
	}
	return closed, len(payments)
}

func compareCharges(lots map[string]*auctionv1.LotRow, payments map[string][]*paymentsv1.Charged) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for id, l := range lots {
		made := payments[id]
		switch won := l.GetClosed() && l.GetLeader() != ""; {
		case !won && len(made) > 0:
			say("lot %s was not sold, and was charged: %v", id, made)
		case !won:
		case len(made) != 1:
			say("lot %s was charged %d times, its winner is %s", id, len(made), l.GetLeader())
		case made[0].GetBidder() != l.GetLeader() || made[0].GetAmountCents() != l.GetPriceCents():
			say("lot %s was sold to %s for %d cents, and charged to %s with %d", id, l.GetLeader(), l.GetPriceCents(), made[0].GetBidder(), made[0].GetAmountCents())
		}
	}
	for id := range payments {
		if lots[id] == nil {
			say("payment %s is for no lot", id)
		}
	}
	return problems
}

func (p *pair) read(data string, use func(journal.Journal) error) {
	p.t.Helper()
	j, err := pebble.Open(pebble.Config{Dir: filepath.Join(p.dir, data)})
	if err != nil {
		p.t.Fatal(err)
	}
	if err := use(j); err != nil {
		p.t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		p.t.Fatal(err)
	}
}

// foldPayments reads what was charged, by lot.
func foldPayments(ctx context.Context, j journal.Journal, into map[string][]*paymentsv1.Charged) error {
	var reader entity.StoredReader
	for shard := range uint32(chargeShards) {
		for next := uint64(1); ; {
			records, err := j.Read(ctx, shard, next, 1<<20)
			if err != nil {
				return err
			}
			if len(records) == 0 {
				break
			}
			for _, rec := range records {
				next = rec.Number + 1
				err := reader.Each(rec, func(s *entity.Stored) error {
					for _, e := range s.Events {
						var made paymentsv1.Charged
						if err := proto.Unmarshal(e.Payload, &made); err != nil {
							return err
						}
						into[s.ID] = append(into[s.ID], &made)
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}
