package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

// The load of the proof: bidders that need nobody but the auction, beside lots that close all the time.
const (
	proofBidders = 4
	proofPause   = 10 * time.Millisecond // of a bidder, between two bids
	proofSellers = 2
	proofSale    = 60 * time.Millisecond // of a seller, between two lots
	proofTurns   = 5
	proofLook    = 50 * time.Millisecond // between two looks at the breaker
)

// TestASickNeighbourIsFeltByChargesOnly is run by .ci/charges, with SKERRY_CHARGE_SECONDS for how long each phase takes. It prints how fast
// the auction answers while payments is well, and while it is not, in turn; the first line, where it stays well, tells how much the machine
// itself varies. What it judges are counts: how many calls a neighbour that is
// down gets, and that each winner is charged once in the end.
func TestASickNeighbourIsFeltByChargesOnly(t *testing.T) {
	text := os.Getenv("SKERRY_CHARGE_SECONDS")
	if text == "" {
		t.Skip("a proof of minutes: .ci/charges runs it")
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatalf("SKERRY_CHARGE_SECONDS: %v", err)
	}
	phase := time.Duration(seconds * float64(time.Second))
	p := newPair(t, 100*time.Millisecond, 500*time.Millisecond)
	b := startBidders(p)
	t.Logf("%d bidders, a bid each %v; %v well and twice that sick, in turn, medians of %d; call-timeout %v, reset-timeout %v",
		proofBidders, proofPause, phase, proofTurns, p.callTimeout, p.reset)
	for _, f := range []fault{well, refuse, hang, half, slow, broken, flap} {
		var quiet, sick phases
		var back, drained []time.Duration
		calls := 0
		for range proofTurns {
			watched := p.watch(well, phase) // as much work as below
			quiet.add(b.during(phase))
			<-watched
			p.between.become(f)
			watched = p.watch(f, 2*phase)
			sick.add(b.during(phase)) // while the breaker opens
			sick.add(b.during(phase)) // most of it while it is open
			calls += <-watched
			first, all := p.recover()
			back, drained = append(back, first), append(drained, all)
		}
		q, s := median(quiet.p99), median(sick.p99)
		t.Logf("%-6s p99 quiet %v, sick %v (%.2f ×, %+.1f ms): within 1.5 × or 5 ms: %v; p50 %v and %v; CPU of the auction per bid %v and %v",
			f, q, s, float64(s)/float64(q), float64(s-q)/1e6, s <= q*3/2 || s-q <= 5*time.Millisecond,
			median(quiet.p50), median(sick.p50), quiet.cpuPerBid(), sick.cpuPerBid())
		t.Logf("       calls while open %d; first charge after recovery %v (worst %v), all after %v", calls, median(back), slices.Max(back), median(drained))
	}
	b.stop()
	p.awaitCharges(patience)
	closed, charged := p.sweep()
	t.Logf("%d lots closed, %d winners charged once each", closed, charged)
}

// watch does callsWhileDown on the side.
func (p *pair) watch(f fault, phase time.Duration) <-chan int {
	counted := make(chan int, 1)
	go func() { counted <- p.callsWhileDown(f, phase) }()
	return counted
}

// look is what the breaker has told between two moments.
type look struct {
	asked, told time.Time
	counts      *adminv1.BreakerCounts
}

// callsWhileDown counts the calls that the neighbour gets while the breaker is seen not closed, until the end of the phase, and
// holds them against one per reset-timeout. It compares counts, so that a slow machine changes nothing: the breaker was half-open
// once per reset-timeout at most, and let one call through each time. One more may have been let through before, and arrive late.
func (p *pair) callsWhileDown(f fault, phase time.Duration) int {
	var first, last *look
	for end := time.Now().Add(phase); time.Now().Before(end); <-time.After(proofLook) {
		asked := time.Now()
		b, err := p.admin().Breaker(p.t.Context(), "payments/Charge")
		seen := &look{asked, time.Now(), b.GetCounts()}
		switch {
		case err != nil:
		case first != nil:
			last = seen
		case b.GetState() != "closed":
			first = seen
		}
	}
	if last == nil || f == flap || f == well {
		return 0
	}
	got, halves := p.between.within(first.told, last.asked), int(last.counts.GetHalfOpened()-first.counts.GetHalfOpened())
	switch lasted := last.told.Sub(first.asked); {
	case last.counts.GetClosed() > first.counts.GetClosed() && f != slow:
		p.t.Errorf("%s: the breaker closed while the neighbour was sick", f)
	case last.counts.GetClosed() > first.counts.GetClosed():
		p.t.Logf("%s: a call was answered in time all the same, on so slow a machine", f)
	case halves > int(lasted/p.reset)+1:
		p.t.Errorf("%s: the breaker was half-open %d times in %v; once per %v is allowed", f, halves, lasted, p.reset)
	case got > halves+1:
		p.t.Errorf("%s: %d calls while the breaker was half-open %d times", f, got, halves)
	}
	return got
}

// recover makes the neighbour well, and tells when it had answered a first charge, and all that had waited.
func (p *pair) recover() (first, all time.Duration) {
	p.t.Helper()
	began := time.Now()
	p.between.become(well)
	for p.between.firstGood(began).IsZero() {
		if time.Since(began) > patience {
			p.t.Fatalf("no charge in %v after recovery: %v", patience, p.status())
		}
		<-time.After(time.Millisecond)
	}
	for waiting := p.status().GetShards(); p.behind(waiting); <-time.After(5 * time.Millisecond) {
		if time.Since(began) > patience {
			p.t.Fatalf("after %v charges still wait: %v", patience, p.status())
		}
	}
	return p.between.firstGood(began).Sub(began), time.Since(began)
}

// behind tells whether the processor that charges has not yet seen all that was in the logs at an earlier time.
func (p *pair) behind(then []*adminv1.ProcessorShard) bool {
	p.t.Helper()
	at := map[uint32]uint64{}
	for _, s := range p.status().GetShards() {
		at[s.GetShard()] = s.GetOffset()
	}
	return slices.ContainsFunc(then, func(s *adminv1.ProcessorShard) bool { return at[s.GetShard()] < s.GetHeadOffset() })
}

// bidders measure the auction's calls that need nobody else.
type bidders struct {
	p     *pair
	stop  func()
	mu    sync.Mutex
	takes []time.Duration
}

func startBidders(p *pair) *bidders {
	b := &bidders{p: p}
	ctx, cancel := context.WithCancel(p.t.Context())
	var all sync.WaitGroup
	b.stop = func() {
		cancel()
		all.Wait()
	}
	for n := range proofSellers {
		luck := rand.New(rand.NewPCG(p.luck.Uint64(), uint64(n)))
		all.Go(func() { p.sell(ctx, fmt.Sprint("sold-", n), luck, proofSale) })
	}
	for n := range proofBidders {
		all.Go(func() { b.bid(ctx, fmt.Sprint("live-", n)) })
	}
	return b
}

// bid bids on a live lot, again and again, and looks at it.
func (b *bidders) bid(ctx context.Context, id string) {
	c := b.p.client()
	if _, err := c.Command(ctx, id, "open", &auctionv1.OpenLot{Title: "A violin", OpeningCents: 1}); err != nil {
		b.p.t.Error(err)
		return
	}
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(proofPause):
		}
		began := time.Now()
		_, err := c.Command(ctx, id, fmt.Sprint("bid-", n), &auctionv1.PlaceBid{Bidder: fmt.Sprint("bidder-", n%2), AmountCents: int64(n)})
		took := time.Since(began)
		if err != nil && ctx.Err() == nil {
			b.p.t.Errorf("bid %d on %s: %v", n, id, err)
			return
		}
		b.mu.Lock()
		b.takes = append(b.takes, took)
		b.mu.Unlock()
	}
}

// measured is what bids took in a phase, sorted, and the CPU time that the auction used meanwhile.
type measured struct {
	takes []time.Duration
	cpu   time.Duration
}

func (b *bidders) during(phase time.Duration) measured {
	b.mu.Lock()
	b.takes = nil
	b.mu.Unlock()
	began := b.p.auctionCPU()
	<-time.After(phase)
	b.mu.Lock()
	defer b.mu.Unlock()
	m := measured{slices.Sorted(slices.Values(b.takes)), b.p.auctionCPU() - began}
	if len(m.takes) == 0 {
		m.takes = []time.Duration{0}
	}
	return m
}

// phases are the turns of one kind.
type phases struct {
	p50, p99 []time.Duration
	cpu      time.Duration
	bids     int
}

func (p *phases) add(m measured) {
	n := len(m.takes)
	p.p50, p.p99 = append(p.p50, m.takes[n/2]), append(p.p99, m.takes[n*99/100])
	p.cpu, p.bids = p.cpu+m.cpu, p.bids+n
}

func (p *phases) cpuPerBid() time.Duration {
	return (p.cpu / time.Duration(p.bids)).Round(time.Microsecond)
}

// auctionCPU is the CPU time of the auction's process; 0 where the system has no /proc.
func (p *pair) auctionCPU() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.auction.cmd.Process.Pid))
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 15 {
		return 0
	}
	user, _ := strconv.Atoi(fields[13])
	system, _ := strconv.Atoi(fields[14])
	return time.Duration(user+system) * time.Second / 100
}
