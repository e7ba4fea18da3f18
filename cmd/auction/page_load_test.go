package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue"
	"github.com/skerryhq/skerry/cmd/auction/internal/page/chromium"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// Not parallel, and not a story of TestThePage: its figures are worth something only if nothing else runs.
func TestThePageUnderLoad(t *testing.T) {
	browser := chromium.Start(t)
	t.Run("a large auction stays smooth", func(t *testing.T) { aLargeAuction(t, browser) })
	t.Run("how long a bid takes to another browser", func(t *testing.T) { bidLatency(t, browser) })
}

// The size of the large auction, and what happens while one looks on.
const (
	manyLots  = 2000
	manyBids  = 20 // on each
	liveBids  = 800
	perSecond = 200
)

// fillPatience is for tens of thousands of commands.
const fillPatience = 10 * time.Minute

// fill puts up lots and bids on them, from inside, many at a time.
func (h *house) fill(lots, bids int) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), fillPatience)
	defer cancel()
	next := make(chan int)
	var fillers sync.WaitGroup
	for range 64 {
		fillers.Go(func() {
			for n := range next {
				if err := h.fillOne(ctx, n, bids); err != nil {
					h.t.Error(err)
				}
			}
		})
	}
	for n := range lots {
		next <- n
	}
	close(next)
	fillers.Wait()
	if err := h.svc.processors.WaitFor(ctx, catalogue.Name, h.written()); err != nil {
		h.t.Fatalf("the read model does not catch up: %v", err)
	}
}

// written stands for all that the house has stored.
func (h *house) written() journal.Token {
	feed := h.svc.entities.host.Feed()
	all := journal.Token{History: feed.History()}
	for shard := range uint32(feed.Shards()) {
		if head, _ := feed.Head(shard); head.NextOffset() > 1 {
			all = all.With(shard, head.NextOffset()-1)
		}
	}
	return all
}

func (h *house) fillOne(ctx context.Context, n, bids int) error {
	lot := auction.Lots.Ref(h.svc.entities.host, manyLot(n))
	_, err := auction.OpenLot.Ask(ctx, lot, &auctionv1.OpenLot{
		Title: fmt.Sprintf("Lot %d: one of many things", n), OpeningCents: 1_00,
		Closing: &auctionv1.OpenLot_ClosesAfter{ClosesAfter: durationpb.New(time.Hour + time.Duration(n)*time.Second)},
	})
	for i := 0; i < bids && err == nil; i++ {
		_, err = auction.PlaceBid.Ask(ctx, lot, &auctionv1.PlaceBid{Bidder: []string{"ann", "bob", "cid"}[i%3], AmountCents: int64(1_00 + i*50)})
	}
	return err
}

func manyLot(n int) string { return fmt.Sprintf("many-%04d", n) }

// observe notes the tasks that kept the page busy for more than 50 ms, and the time between frames.
const observe = `window.seen = { long: [], frames: [] };
	new PerformanceObserver((list) => seen.long.push(...list.getEntries().map((e) => e.duration))).observe({ type: "longtask" });
	{ let last = performance.now(); const frame = (now) => { seen.frames.push(now - last); last = now; requestAnimationFrame(frame); }; requestAnimationFrame(frame); }`

type observed struct {
	Long   []float64 `json:"long"`
	Frames []float64 `json:"frames"`
}

func aLargeAuction(t *testing.T, browser *chromium.Browser) {
	h := openHouse(t)
	began := time.Now()
	h.fill(manyLots, manyBids)
	t.Logf("%d lots with %d bids each, and the read model behind them: %v", manyLots, manyBids, time.Since(began).Round(time.Millisecond))
	list, lot, clerk := browser.Person(t), browser.Person(t), browser.Person(t)
	began = time.Now()
	list.Open(h.url + "/")
	list.WaitFor(fmt.Sprintf(`count.textContent === "2,000 lots" && document.querySelectorAll("#rows tr").length === 50 && document.querySelector("[data-lot=%s] .bid-count").textContent === "%d"`, manyLot(0), manyBids))
	t.Logf("the list is there after %v", time.Since(began).Round(time.Millisecond))
	lot.Open(h.url + "/lots/" + manyLot(0))
	clerk.Open(h.url + "/clerk")
	everybody := map[string]*chromium.Person{"list": list, "lot": lot, "clerk": clerk}
	before := map[string]float64{}
	for who, p := range everybody {
		chromium.Call(p, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks})
		p.Eval(observe)
		before[who] = busy(p)
	}
	began = time.Now()
	onOne := h.stream(liveBids)

	for who, p := range everybody {
		want := liveBids
		if who == "lot" {
			want = onOne
		}
		p.WaitFor(fmt.Sprintf(`Number(document.getElementById("connection").dataset.bids) >= %d`, want))
		heard := chromium.Eval[map[string]string](p, `({...document.getElementById("connection").dataset})`)
		if heard["bids"] != fmt.Sprint(want) || heard["missed"] != "0" || heard["repeated"] != "0" {
			t.Errorf("%s heard %v, of %d bids", who, heard, want)
		}
		seen := chromium.Eval[observed](p, `seen`)
		slices.Sort(seen.Frames)
		share := 100 * (busy(p) - before[who]) / time.Since(began).Seconds()
		t.Logf("%s: %s bids in %s messages; its main thread used %.0f%% of a core; %d tasks over 50 ms (longest %.0f ms); %d frames, between two p50 %.1f ms, p99 %.1f ms, most %.1f ms", who, heard["bids"], heard["messages"], share,
			len(seen.Long), slices.Max(append(seen.Long, 0)), len(seen.Frames), quantile(seen.Frames, 0.5), quantile(seen.Frames, 0.99), quantile(seen.Frames, 1))
	}
	for n := range 50 {
		view := h.send(manyLot(n), &auctionv1.GetLot{})
		list.WaitFor(fmt.Sprintf(`document.querySelector("[data-lot=%s] .price").textContent === "%s"`, manyLot(n), auction.Cents(view.GetPriceCents())))
	}
}

// busy is the CPU time that a page's main thread has used, in seconds.
func busy(p *chromium.Person) float64 {
	for _, m := range chromium.Call(p, performance.GetMetrics, cdp.Empty{}).Metrics {
		if m.Name == "TaskDuration" {
			return m.Value
		}
	}
	return math.NaN()
}

// stream places bids at a steady rate, on lots that are on the first page and on others, and returns how many
// came to the first lot.
func (h *house) stream(bids int) (onFirst int) {
	h.t.Helper()
	pace := time.NewTicker(time.Second / perSecond)
	defer pace.Stop()
	var answers sync.WaitGroup
	for i := range bids {
		<-pace.C
		n := i % 100
		if i%4 == 0 {
			n = 0
		}
		if n == 0 {
			onFirst++
		}
		lot := auction.Lots.Ref(h.svc.entities.host, manyLot(n))
		answers.Go(func() { h.bidInside(lot, int64(100_00+i*10)) })
	}
	answers.Wait()
	return onFirst
}

// bidInside bids under a name of its own, so that no order of arrival makes it a lower maximum of the same bidder. It waits for its
// answer as long as one may.
func (h *house) bidInside(lot entity.Ref[auction.Lot], cents int64) {
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	_, err := auction.PlaceBid.Ask(ctx, lot, &auctionv1.PlaceBid{Bidder: fmt.Sprint("bidder-", cents), AmountCents: cents})
	if err != nil {
		h.t.Error(err)
	}
}

// place bids n times by the bid box, each time when the answer to the bid before is on the page, and returns when
// each was sent, in ms.
const place = `(async (n, first) => {
	const sent = [];
	for (let i = 0; i < n; i++) {
		amount.value = String(first + i);
		amount.dispatchEvent(new Event("input"));
		sent.push(performance.timeOrigin + performance.now());
		document.getElementById("bid-form").requestSubmit();
		const answer = "pay " + (first + i) + ".00 at the most";
		while (!outcome.textContent.includes(answer)) await new Promise((done) => setTimeout(done, 5));
	}
	return sent;
})(%d, %d)`

// watch notes when the row of each bid has been there.
const watch = `window.came = {};
	new MutationObserver((changes) => {
		for (const row of document.querySelectorAll("#bids tr")) came[row.dataset.number] ??= performance.timeOrigin + performance.now();
	}).observe(bids, { childList: true })`

func bidLatency(t *testing.T, browser *chromium.Browser) {
	const bids = 200
	h := openHouse(t)
	h.put("lamp", "A brass lamp", 1_00, time.Hour)
	ann, bob := browser.Person(t), browser.Person(t)
	bob.Open(h.url + "/lots/lamp")
	bob.Eval(watch)
	ann.Open(h.url + "/lots/lamp")
	ann.Fill("#bidder", "ann")
	sent := chromium.Eval[[]float64](ann, fmt.Sprintf(place, bids, 100))
	bob.WaitFor(fmt.Sprintf(`came[%d]`, bids))
	came := chromium.Eval[map[int]float64](bob, `came`)
	var took []float64
	for i, at := range sent {
		took = append(took, came[i+1]-at)
	}
	slices.Sort(took)
	t.Logf("from the click in one browser to the row in another, %d bids: p50 %.1f ms, p99 %.1f ms, most %.1f ms", len(took), quantile(took, 0.5), quantile(took, 0.99), quantile(took, 1))
}

// quantile is of sorted values.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
