package demo

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// screen redraws one picture in place.
type screen struct {
	cfg    Config
	recent []string
}

// recentLines is how much of the news stays on the screen.
const recentLines = 8

func newScreen(cfg Config) *screen { return &screen{cfg: cfg} }

func (s *screen) draw(lots []lot, news []string) error {
	s.recent = append(s.recent, news...)
	s.recent = s.recent[max(0, len(s.recent)-recentLines):]
	var b bytes.Buffer
	fmt.Fprintf(&b, "Skerry auction, live at %s\n\n", s.cfg.URL)
	table(&b, lots)
	fmt.Fprintf(&b, "\n%s\n\n", strings.Join(s.recent, "\n"))
	hints(&b, s.cfg, lots)
	// Home, each line cleared behind its text, and the rest of the screen cleared: no flicker.
	picture := "\x1b[H" + strings.ReplaceAll(b.String(), "\n", "\x1b[K\n") + "\x1b[J"
	_, err := io.WriteString(s.cfg.Out, picture)
	return err
}

func (s *screen) end([]lot) error {
	_, err := fmt.Fprintln(s.cfg.Out, "The house is closed. Start it again: everything is still there.")
	return err
}

// plain writes a line for each thing that happens.
type plain struct {
	cfg   Config
	first string // of the lots that were announced
}

func newPlain(cfg Config) *plain { return &plain{cfg: cfg} }

func (p *plain) draw(lots []lot, news []string) error {
	var b bytes.Buffer
	if lots[0].id != p.first {
		p.first = lots[0].id
		table(&b, lots)
		hints(&b, p.cfg, lots)
	}
	for _, line := range news {
		fmt.Fprintln(&b, line)
	}
	_, err := p.cfg.Out.Write(b.Bytes())
	return err
}

func (p *plain) end(lots []lot) error {
	var b bytes.Buffer
	table(&b, lots)
	fmt.Fprintln(&b, "The house is closed. Start it again: everything is still there.")
	_, err := p.cfg.Out.Write(b.Bytes())
	return err
}

func table(w io.Writer, lots []lot) {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "LOT\tWHAT\tPRICE\tLEADER\tNEXT BID\tBIDS\tTIME LEFT")
	for _, l := range lots {
		v := l.view
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", l.id, l.title, money(v.GetPriceCents()), dash(v.GetLeader()), money(v.GetNextBidCents()), v.GetBidCount(), left(v))
	}
	_ = t.Flush()
}

func left(v *auctionv1.LotView) string {
	switch {
	case v.GetClosed():
		return "closed: " + outcome(v)
	case v.GetLiveAuction():
		return "until the clerk closes it"
	}
	return max(0, time.Until(v.GetClosesAt().AsTime())).Round(time.Second).String()
}

func money(cents int64) string {
	if cents == 0 {
		return "-"
	}
	return auction.Cents(cents).String()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// hints say what to try, in commands that work as they stand.
func hints(w io.Writer, cfg Config, lots []lot) {
	url := cfg.URL
	fmt.Fprintf(w, "Open %s in a browser; %s/clerk is the clerk's page.\n", url, url)
	if len(cfg.Others) > 0 {
		fmt.Fprintf(w, "The other nodes' pages show the same, as it happens: %s\n", strings.Join(cfg.Others, " "))
	}
	for _, l := range lots {
		if l.view.GetClosed() || l.view.GetNextBidCents() == 0 {
			continue
		}
		amount := min(2*l.view.GetNextBidCents(), int64(auction.MaxCents))
		fmt.Fprintf(w, "Bid yourself, in another terminal (amounts are cents; the key makes a repeat safe):\n")
		fmt.Fprintf(w, "  curl --json '{\"bidder\":\"you\",\"amountCents\":%d}' -H 'Idempotency-Key: mine-%d' %s/v1/entities/lot/%s/PlaceBid\n", amount, l.view.GetBidCount(), url, l.id)
		fmt.Fprintf(w, "  curl %s/v1/entities/lot/%s/GetLot\n", url, l.id)
		return
	}
	fmt.Fprintln(w, "All lots are closed; new ones open in a moment.")
}
