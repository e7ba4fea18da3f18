package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/cluster/admin"
	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	"github.com/skerryhq/skerry/cmd/auction/internal/client"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
)

// book is what the callers were told.
type book struct {
	mu    sync.Mutex
	lots  []*lotBook
	round int // where the lots of the newest round begin
}

// lotBook is one lot in the book.
type lotBook struct {
	id       string
	deadline time.Time // zero for a live lot
	sent     []*sent
}

// sent is one command with its first answer, once there is one.
type sent struct {
	lot, key string
	cmd      proto.Message
	yes      bool
	answer   []byte // nil: nobody knows
	broken   error  // an answer that may not be
}

// mostBids is how many bids are sent to one lot: no more than its view shows.
const mostBids = auction.KeptBids - 1

func (b *book) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.round = len(b.lots)
}

// open opens a lot, and writes it into the book.
func (b *book) open(k *killer, id string, cmd *auctionv1.OpenLot) {
	k.t.Helper()
	s := &sent{lot: id, key: "open", cmd: cmd}
	s.send(k.t.Context(), k.client())
	if !s.yes {
		k.t.Fatalf("lot %s cannot be opened: %s %v", id, s.answer, s.broken)
	}
	var view auctionv1.LotView
	if err := protojson.Unmarshal(s.answer, &view); err != nil {
		k.t.Fatal(err)
	}
	l := &lotBook{id: id, sent: []*sent{s}}
	if view.GetClosesAt() != nil {
		l.deadline = view.GetClosesAt().AsTime()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lots = append(b.lots, l)
}

// note writes down that a bid will be sent to a lot of this round; nil if that one has had enough.
func (b *book) note(lot int, key string, cmd proto.Message) *sent {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.lots[b.round+lot]
	if len(l.sent) > mostBids {
		return nil
	}
	s := &sent{lot: l.id, key: key, cmd: cmd}
	l.sent = append(l.sent, s)
	return s
}

// send sends the command until it is answered or ctx ends.
func (s *sent) send(ctx context.Context, c *client.Client) {
	ctx, done := context.WithTimeout(ctx, patience)
	defer done()
	answer, err := c.Command(ctx, s.lot, s.key, s.cmd)
	var no *client.Refusal
	switch {
	case err == nil:
		s.yes, s.answer = true, answer.Body
	case client.Rejected(err) != "" && errors.As(err, &no):
		s.answer = no.Body
	case ctx.Err() == nil:
		s.broken = err
	}
}

// settle repeats every command of the newest round with its key: those that nobody has
// an answer to get one, the others get their first answer again.
func (b *book) settle(k *killer) {
	k.t.Helper()
	c := k.client()
	for _, l := range b.lots[b.round:] {
		for _, s := range l.sent {
			again := &sent{lot: s.lot, key: s.key, cmd: s.cmd}
			again.send(k.t.Context(), c)
			switch {
			case s.broken != nil || again.broken != nil || again.answer == nil:
				k.t.Fatalf("lot %s, key %s: %v, %v", s.lot, s.key, s.broken, again.broken)
			case s.answer == nil:
				s.answer, s.yes = again.answer, again.yes
			case s.yes != again.yes || !bytes.Equal(s.answer, again.answer):
				k.t.Fatalf("lot %s, key %s was answered\n%s\nthen\n%s", s.lot, s.key, s.answer, again.answer)
			}
		}
	}
}

// awaitDeadlines waits until every timed lot says that it is closed.
func (b *book) awaitDeadlines(k *killer) {
	k.t.Helper()
	for _, l := range b.lots {
		for end := time.Now().Add(patience); !l.deadline.IsZero(); <-time.After(10 * time.Millisecond) {
			if l.view(k).View.GetClosed() {
				break
			}
			if time.Now().After(end) {
				k.t.Fatalf("lot %s is still open, its deadline was %v", l.id, l.deadline)
			}
		}
	}
}

// checkSome checks the lots of the newest round and n of the older ones.
func (b *book) checkSome(k *killer, n int) {
	k.t.Helper()
	for _, l := range b.lots[b.round:] {
		l.check(k)
	}
	for _, i := range k.luck.Perm(b.round)[:min(n, b.round)] {
		b.lots[i].check(k)
	}
	if k.t.Failed() {
		k.t.FailNow()
	}
}

func (b *book) summary() string {
	var all, yes, timed int
	for _, l := range b.lots {
		if !l.deadline.IsZero() {
			timed++
		}
		for _, s := range l.sent {
			all++
			if s.yes {
				yes++
			}
		}
	}
	return fmt.Sprintf("%d lots (%d timed), %d commands, %d of them accepted", len(b.lots), timed, all, yes)
}

func (l *lotBook) view(k *killer) client.Answer {
	k.t.Helper()
	ctx, done := context.WithTimeout(k.t.Context(), patience)
	defer done()
	answer, err := k.client().Lot(ctx, l.id, auction.KeptBids)
	if err != nil {
		k.t.Fatalf("lot %s: %v", l.id, err)
	}
	return answer
}

// check compares the lot's stored events, and its view, with the book.
func (l *lotBook) check(k *killer) {
	k.t.Helper()
	answer := l.view(k) // before the events: what has come since then is more, never less
	c := admin.Client{Addr: strings.TrimPrefix(k.process.admin, "http://"), HTTP: k.http}
	info, err := c.Inspect(k.t.Context(), "lot", l.id, &answer.Version)
	if err != nil {
		k.t.Fatalf("lot %s: %v", l.id, err)
	}
	history := readHistory(k, l.id, info.Events)
	for _, problem := range append(l.compareKeys(history), l.compareTimes(history, answer.View)...) {
		k.t.Errorf("lot %s: %s", l.id, problem)
	}
	if row := l.row(k, answer.Token); row.GetVersion() < answer.Version || row.GetVersion() == answer.Version && row.GetPriceCents() != answer.View.GetPriceCents() {
		k.t.Errorf("lot %s: after a caller has seen\n%v (version %d), the read model shows\n%v", l.id, answer.View, answer.Version, row)
	}
	if k.t.Failed() {
		k.t.Logf("lot %s: %v\n%v", l.id, answer.View, info.Events)
	}
}

// row asks the read model for what has been seen of the lot already.
func (l *lotBook) row(k *killer, seen string) *auctionv1.LotRow {
	k.t.Helper()
	ctx, done := context.WithTimeout(k.t.Context(), patience)
	defer done()
	row, err := k.client().Row(ctx, l.id, seen)
	if err != nil {
		k.t.Fatalf("lot %s: the read model: %v", l.id, err)
	}
	return row
}

// history is what is stored of a lot.
type history struct {
	bids   []*auctionv1.BidTaken
	keys   []string // of the bids
	closed []*auctionv1.LotClosed
	// closers are the keys of the commands that closed it.
	closers []string
	events  int
}

func readHistory(k *killer, id string, events []entity.EventInfo) (h history) {
	k.t.Helper()
	h.events = len(events)
	read := func(data []byte, into proto.Message) {
		if err := protojson.Unmarshal(data, into); err != nil {
			k.t.Fatalf("lot %s: %v", id, err)
		}
	}
	for _, e := range events {
		switch {
		case strings.HasSuffix(e.Type, ".BidTaken"):
			bid := &auctionv1.BidTaken{}
			read(e.Data, bid)
			h.bids, h.keys = append(h.bids, bid), append(h.keys, e.Key)
		case strings.HasSuffix(e.Type, ".LotClosed"):
			closed := &auctionv1.LotClosed{}
			read(e.Data, closed)
			h.closed, h.closers = append(h.closed, closed), append(h.closers, e.Key)
		}
	}
	return h
}

// compareKeys: each bid that was acknowledged is stored once, as it was sent, and none that was refused.
func (l *lotBook) compareKeys(h history) (problems []string) {
	fault := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	stored := map[string]*auctionv1.BidTaken{}
	for i, key := range h.keys {
		if stored[key] != nil {
			fault("the bid with the key %s is stored twice", key)
		}
		stored[key] = h.bids[i]
	}
	for _, s := range l.sent[1:] {
		cmd, bid := s.cmd.(*auctionv1.PlaceBid), stored[s.key]
		delete(stored, s.key)
		switch {
		case s.yes && bid == nil:
			fault("the bid with the key %s (%v) was acknowledged and is lost", s.key, cmd)
		case !s.yes && bid != nil:
			fault("the bid with the key %s was refused (%s) and is stored", s.key, s.answer)
		case bid != nil && (bid.GetOnline() != cmd.GetBidder() || bid.GetAmountCents() != cmd.GetAmountCents()):
			fault("the bid with the key %s, %v, became %v", s.key, cmd, bid)
		}
	}
	for key := range stored {
		fault("nobody sent the bid with the key %s", key)
	}
	return problems
}

// compareTimes: a timed lot is closed once, by its timer and not before its deadline,
// and took no bid from then on; the view shows what is stored.
func (l *lotBook) compareTimes(h history, view *auctionv1.LotView) (problems []string) {
	fault := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if want := 1 + len(h.bids) + len(h.closed); h.events != want {
		fault("%d events are stored, %d make sense", h.events, want)
	}
	if len(h.closed) > 1 || view.GetClosed() != (len(h.closed) == 1) {
		fault("it was closed %d times, its view says %v", len(h.closed), view.GetClosed())
	}
	if len(h.closed) == 1 && (l.deadline.IsZero() || !strings.HasPrefix(h.closers[0], "timer close") || h.closed[0].GetAt().AsTime().Before(l.deadline)) {
		fault("it was closed by %s at %v; its deadline is %v", h.closers[0], h.closed[0].GetAt().AsTime(), l.deadline)
	}
	for i, bid := range h.bids {
		at := bid.GetAt().AsTime()
		if !l.deadline.IsZero() && !at.Before(l.deadline) {
			fault("the bid of %s at %v came after the deadline %v", bid.GetOnline(), at, l.deadline)
		}
		if i > 0 && at.Before(h.bids[i-1].GetAt().AsTime()) {
			fault("time fell back to %v", at)
		}
	}
	if int(view.GetBidCount()) != len(h.bids) || len(view.GetBids()) != len(h.bids) {
		fault("its view counts %d bids and shows %d, %d are stored", view.GetBidCount(), len(view.GetBids()), len(h.bids))
		return problems
	}
	for i, shown := range view.GetBids() {
		if n := len(h.bids) - 1 - i; shown.GetBidder() != h.bids[n].GetOnline() || shown.GetAmountCents() != h.bids[n].GetAmountCents() || shown.GetNumber() != int64(n+1) {
			fault("its view shows %v, stored is %v", shown, h.bids[n])
		}
	}
	return problems
}
