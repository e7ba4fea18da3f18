package catalogue_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/journal"
	apiv1 "github.com/skerryhq/skerry/proto/skerry/api/v1"
	"github.com/skerryhq/skerry/readside"
)

// site is a house with its read model behind HTTP.
type site struct {
	*house
	t   *testing.T
	c   *catalogue.Catalogue
	url string
}

func newSite(t *testing.T) *site {
	t.Helper()
	h := newHouse(t.Context, t)
	h.openToday()
	db := openTables(t, t.TempDir())
	c := catalogue.New(db.Write(), db.Read(), h.host.Feed().History())
	h.follow(c)
	mux := http.NewServeMux()
	c.Mount(mux, h.runner, h.host.Feed(), slog.New(slog.DiscardHandler))
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.Close()
		_, _ = c.Close(), db.Close()
	})
	return &site{house: h, t: t, c: c, url: server.URL}
}

// get returns the answer; body gets the message if it is one.
func (s *site) get(path string, headers map[string]string, body proto.Message) (int, http.Header, *apiv1.Error) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, nil)
	s.must(err)
	req.Header.Set("Skerry-Timeout", "60s") // as long as one may wait, on a machine that does much else
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	s.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	s.must(err)
	if resp.StatusCode == http.StatusOK {
		s.must(protojson.Unmarshal(text, body))
		return resp.StatusCode, resp.Header, nil
	}
	problem := &apiv1.Error{}
	s.must(protojson.Unmarshal(text, problem))
	return resp.StatusCode, resp.Header, problem
}

func TestAListWaitsForOnesOwnWriteAndTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	defer s.close()
	for i := range 20 {
		id := fmt.Sprint("lot-", i)
		s.send("lot", id, &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 100})
		s.send("lot", id, &auctionv1.PlaceBid{Bidder: "ann", AmountCents: 200})
		list := &auctionv1.LotList{}
		_, header, _ := s.get("/v1/lots?sort=newest&state=open&live=true", map[string]string{"Skerry-Token": s.head().String()}, list)
		if header.Get("Skerry-Token") != s.head().String() || len(list.GetLots()) != i+1 || list.GetTotal() != int64(i+1) {
			t.Fatalf("after %d lots it shows %d, at %q; the log is at %v", i+1, len(list.GetLots()), header.Get("Skerry-Token"), s.head())
		}
		for _, r := range list.GetLots() {
			if r.GetBidCount() != 1 || r.GetLeader() != "ann" {
				t.Fatalf("it shows %v", r)
			}
		}
	}
}

func TestBeforeTheFirstEventThereIsAPositionToo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	defer s.close()
	list := &auctionv1.LotList{}
	_, header, _ := s.get("/v1/lots", nil, list)
	if got, want := header.Get("Skerry-Token"), s.head().History+"."; got != want || list.GetTotal() != 0 {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// stuck is a read model that does not move until it is released.
type stuck struct {
	waiting  chan struct{} // gets one for each that begins to wait
	released chan struct{}
}

func newStuck() *stuck { return &stuck{make(chan struct{}), make(chan struct{})} }

func (s *stuck) Halted(string) error { return nil }

func (s *stuck) WaitFor(ctx context.Context, _ string, _ journal.Token) error {
	select {
	case s.waiting <- struct{}{}:
	case <-ctx.Done():
	}
	select {
	case <-s.released:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: a test", readside.ErrBehind)
	}
}

// behind is the site's handler with a read model that does not move.
func (s *site) behind(p *stuck) http.Handler {
	mux := http.NewServeMux()
	s.c.Mount(mux, p, s.host.Feed(), slog.New(slog.DiscardHandler))
	return mux
}

// ask sends one request without a network.
func ask(t *testing.T, h http.Handler, headers map[string]string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/lots", nil)
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	h.ServeHTTP(w, r)
	return w
}

func TestOnesOwnWriteIsWaitedForOnlySoLong(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	defer s.close()
	s.send("lot", "lamp", &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 100})
	w := ask(t, s.behind(newStuck()), map[string]string{"Skerry-Token": s.head().String(), "Skerry-Timeout": "20ms"})
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "skerry/unavailable") || w.Header().Get("Retry-After") == "" {
		t.Fatalf("got %d, %s", w.Code, w.Body)
	}
}

// More than there are places for wait; who has nothing to wait for is answered.
func TestWaitingForATokenHoldsNoPlace(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	defer s.close()
	s.send("lot", "lamp", &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 100})
	p := newStuck()
	h := s.behind(p)
	const many = 1100
	answers := make(chan int, many)
	for range many {
		go func() {
			answers <- ask(t, h, map[string]string{"Skerry-Token": s.head().String(), "Skerry-Timeout": "60s"}).Code
		}()
	}
	early := 0
	for range many {
		select {
		case <-p.waiting:
		case code := <-answers:
			t.Errorf("one that had to wait is answered %d", code)
			early++
		}
	}
	if w := ask(t, h, nil); w.Code != http.StatusOK {
		t.Errorf("while %d wait another is answered %d, %s", many, w.Code, w.Body)
	}
	close(p.released)
	for range many - early {
		<-answers
	}
}

// What no answer ever told is not waited for, however long the request would.
func TestATokenOfNoEventIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	defer s.close()
	s.send("lot", "lamp", &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 100})
	head := s.head()
	for shard := range uint32(s.host.Feed().Shards()) {
		for _, offset := range []uint64{head.Offset(shard) + 1, 1 << 62} {
			w := ask(t, s.behind(newStuck()), map[string]string{"Skerry-Token": head.With(shard, offset).String(), "Skerry-Timeout": "60s"})
			if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "Skerry-Token") {
				t.Errorf("shard %d, offset %d: got %d, %s", shard, offset, w.Code, w.Body)
			}
		}
	}
	none := journal.Token{History: head.History}.With(1<<31, 1).String()
	if status, _, problem := s.get("/v1/lots", map[string]string{"Skerry-Token": none}, nil); status != http.StatusBadRequest {
		t.Errorf("a shard that is not there: got %d, %v", status, problem)
	}
}

func TestATokenFromBeforeARestartIsGood(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.send("lot", "lamp", &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 100})
	token := s.head().String()
	s.close()
	s.openToday()
	defer s.close()
	p := &stuck{make(chan struct{}, 1), make(chan struct{})}
	close(p.released)
	if w := ask(t, s.behind(p), map[string]string{"Skerry-Token": token}); w.Code != http.StatusOK || len(p.waiting) != 1 {
		t.Errorf("got %d, %s", w.Code, w.Body)
	}
}

func TestWhatIsAskedIsChecked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	defer s.close()
	s.send("lot", "lamp", &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 100})
	s.send("lot", "lamp2", &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 100})
	s.catchUp()
	first := &auctionv1.LotList{}
	s.get("/v1/lots?page_size=1", nil, first)
	tests := []struct {
		path    string
		headers map[string]string
		status  int
		says    string
	}{
		{"/v1/lots?sort=colour", nil, 400, "sort"},
		{"/v1/lots?state=ajar", nil, 400, "state"},
		{"/v1/lots?live=perhaps", nil, 400, "live"},
		{"/v1/lots?page_size=201", nil, 400, "page_size"},
		{"/v1/lots?page_size=-1", nil, 400, "page_size"},
		{"/v1/lots?page_size=9999999999", nil, 400, "page_size"},
		{"/v1/lots?page_token=nonsense", nil, 400, "page_token"},
		{"/v1/lots?page_token=" + strings.Repeat("A", 2000), nil, 400, "page_token"},
		{"/v1/lots?sort=price&page_token=" + first.GetNextPageToken(), nil, 400, "page_token"}, // of another order
		{"/v1/lots?pagesize=3", nil, 400, "there is no parameter"},
		{"/v1/lots?state=open&state=closed", nil, 400, "2 times"},
		{"/v1/lots?query=" + strings.Repeat("x", 101), nil, 400, "query"},
		{"/v1/lots?%zz", nil, 400, "query string"},
		{"/v1/lots?query=%ff", nil, 400, "UTF-8"},
		{"/v1/lots", map[string]string{"Skerry-Token": "nonsense"}, 400, "Skerry-Token"},
		{"/v1/lots", map[string]string{"Skerry-Token": "other.0:1"}, 400, "Skerry-Token"},
		{"/v1/lots", map[string]string{"Skerry-Timeout": "soon"}, 400, "Skerry-Timeout"},
		{"/v1/lots", map[string]string{"Skerry-Timeout": "-1s"}, 400, "Skerry-Timeout"},
		{"/v1/lots/lamp?lot=lamp2", nil, 400, "there is no parameter"},
		{"/v1/lots/no-such", nil, 404, "no-such"},
		{"/v1/lots/" + strings.Repeat("x", 201), nil, 400, "201 bytes"},
		{"/v1/bidders/" + strings.Repeat("x", 201) + "/bids", nil, 400, "201 bytes"},
		{"/v1/results?page_size=1000", nil, 400, "page_size"},
	}
	for _, test := range tests {
		status, _, problem := s.get(test.path, test.headers, &auctionv1.LotList{})
		if status != test.status || !strings.Contains(problem.GetReason(), test.says) || problem.GetRemedy() == "" {
			t.Errorf("%.60s %v: got %d, %v", test.path, test.headers, status, problem)
		}
	}
	for _, path := range []string{"/v1/bidders/nobody/bids", "/v1/results", "/v1/lots/lamp"} {
		if status, _, problem := s.get(path, nil, messageOf(path)); problem != nil {
			t.Errorf("%s: %d, %v", path, status, problem)
		}
	}
}

func messageOf(path string) proto.Message {
	switch {
	case strings.HasSuffix(path, "/bids"):
		return &auctionv1.BidList{}
	case strings.HasPrefix(path, "/v1/lots/"):
		return &auctionv1.LotPage{}
	}
	return &auctionv1.LotList{}
}

func TestASearchFindsTextAndNoPatterns(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	defer s.close()
	for id, title := range map[string]string{"a": "A brass  LAMP", "b": "100% wool", "c": "snake_case", "d": "ÜBERTOPF", "e": `back\slash`, "lamp-7": "A clock"} {
		s.send("lot", id, &auctionv1.OpenLot{Title: title, OpeningCents: 1})
	}
	s.catchUp()
	for text, want := range map[string]string{
		"lamp": "a lamp-7", "Brass lamp": "a", "%": "b", "_": "c", "übertopf": "d", `\`: "e", "nothing": "", "  ": "a b c d e lamp-7", "wool\na": "",
	} {
		list, _, err := s.c.ListLots(t.Context(), &auctionv1.ListLots{Query: text, Sort: "closing"})
		s.must(err)
		var got []string
		for _, r := range list.GetLots() {
			got = append(got, r.GetLot())
		}
		if strings.Join(got, " ") != want || int(list.GetTotal()) != len(got) {
			t.Errorf("%q finds %v of %d, want %s", text, got, list.GetTotal(), want)
		}
	}
}
