package stream_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/readside/stream"
)

// LotRow is what a page knows of a lot. An event tells some of it: pointers are left out where it does
// not, so that a page can merge the rest into the row that it has.
type LotRow struct {
	Lot        string  `json:"lot"`
	Version    uint64  `json:"version,string"`
	Title      *string `json:"title,omitempty"`
	PriceCents *int64  `json:"priceCents,omitempty,string"`
}

// LotStream lets pages follow the lots: all of them at /v1/stream, one at /v1/stream?lot=ID.
func LotStream(host *entity.Host) (*stream.Stream, error) {
	return stream.New(stream.Config{
		Source: host.Feed(),
		Name:   "lots",
		Lists:  []string{"rows"},
		Rules:  []stream.Rule{stream.On(lotOpened), stream.On(bidTaken)},
		Topics: func(r *http.Request) ([]string, error) {
			if id := r.URL.Query().Get("lot"); id != "" {
				return []string{"lot/" + id}, nil
			}
			return nil, nil
		},
	})
}

// lotOpened and bidTaken say what pages learn from an event.
func lotOpened(ev stream.Event[*LotOpened]) []stream.Fragment {
	title := ev.Msg.GetValue()
	return lotRow(LotRow{Lot: ev.EntityID, Version: ev.Version, Title: &title})
}

func bidTaken(ev stream.Event[*BidTaken]) []stream.Fragment {
	price := ev.Msg.GetValue()
	return lotRow(LotRow{Lot: ev.EntityID, Version: ev.Version, PriceCents: &price})
}

func lotRow(row LotRow) []stream.Fragment {
	return []stream.Fragment{{List: "rows", Topic: "lot/" + row.Lot, Value: row}}
}

// A page follows one lot: each committed event becomes a fragment of its row.
func Example() {
	ctx := context.Background()
	memory := journal.NewMemory()
	host, err := entity.Start(ctx, entity.Config{Journal: memory, Types: []entity.Definition{lots}, Shards: 2})
	if err != nil {
		panic(err)
	}
	lotStream, err := LotStream(host)
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/stream", lotStream) // beside gateway and pages
	server := httptest.NewServer(mux)

	// In a browser: new EventSource("/v1/stream?lot=lamp").addEventListener("lots", …)
	page, err := http.Get(server.URL + "/v1/stream?lot=lamp")
	if err != nil {
		panic(err)
	}
	lines := bufio.NewScanner(page.Body)
	show := func(prefix string) string {
		for lines.Scan() {
			if text, found := strings.CutPrefix(lines.Text(), prefix); found {
				return text
			}
		}
		return "the stream has ended"
	}
	show("id:") // from here on nothing is missed

	_, err = openLot.Ask(ctx, lots.Ref(host, "vase"), &LotOpened{Value: "A vase"}) // which the page does not show
	_, err2 := openLot.Ask(ctx, lots.Ref(host, "lamp"), &LotOpened{Value: "A lamp"})
	fmt.Println(show("data: "), errors.Join(err, err2))
	_, err = placeBid.Ask(ctx, lots.Ref(host, "lamp"), &BidTaken{Value: 1200})
	fmt.Println(show("data: "), err)

	// The order of a stop: streams first, because the server waits for them.
	page.Body.Close()
	fmt.Println(errors.Join(lotStream.Stop(ctx), server.Config.Shutdown(ctx), host.Stop(ctx), memory.Close()))
	// Output:
	// {"rows":[{"lot":"lamp","version":"1","title":"A lamp"}]} <nil>
	// {"rows":[{"lot":"lamp","version":"2","priceCents":"1200"}]} <nil>
	// <nil>
}
