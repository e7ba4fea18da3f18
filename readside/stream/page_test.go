package stream_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/readside/stream"
)

// row is what the tests' pages learn of a lot. Only what an event changes is there.
type row struct {
	Lot     string `json:"lot"`
	Version uint64 `json:"version,string"`
	Title   string `json:"title,omitempty"`
	Cents   int64  `json:"priceCents,omitempty,string"`
	Closed  bool   `json:"closed,omitempty"`
	Shard   uint32 `json:"shard"`
	Offset  uint64 `json:"offset"`
}

// configOf returns the config of the tests' streams.
func configOf(source stream.Source) stream.Config {
	return stream.Config{
		Source: source, Name: "lots", Lists: []string{"rows", "bids"}, Logger: quiet,
		Rules: []stream.Rule{
			stream.On(func(ev stream.Event[*LotOpened]) []stream.Fragment {
				return []stream.Fragment{{"rows", "lot/" + ev.EntityID, row{
					Lot: ev.EntityID, Version: ev.Version, Title: ev.Msg.GetValue(), Shard: ev.Shard, Offset: ev.Offset,
				}}}
			}),
			stream.On(func(ev stream.Event[*BidTaken]) []stream.Fragment {
				if ev.Msg.GetValue() < 0 {
					panic("a price below zero")
				}
				return []stream.Fragment{{"rows", "lot/" + ev.EntityID, row{
					Lot: ev.EntityID, Version: ev.Version, Cents: ev.Msg.GetValue(), Shard: ev.Shard, Offset: ev.Offset,
				}}}
			}),
		},
		Topics: func(r *http.Request) ([]string, error) {
			var topics []string
			for _, id := range r.URL.Query()["lot"] {
				if id == "none" {
					return nil, fmt.Errorf("no lot has the id %q", id)
				}
				topics = append(topics, "lot/"+id)
			}
			return topics, nil
		},
	}
}

// newStream returns a stream that is stopped with the test.
func newStream(t testing.TB, cfg stream.Config) *stream.Stream {
	t.Helper()
	s, err := stream.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s
}

// serve lets a server listen on loopback; it ends with the test, before the stream.
func serve(t testing.TB, s http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server
}

// message is one block of a stream.
type message struct {
	id, event, data string
	pings           int
}

// page reads a stream as a browser does.
type page struct {
	body   io.ReadCloser
	lines  *bufio.Reader
	lastID string
	retry  string
	header http.Header
	proto  string
}

// open opens a stream. lastID is that of an earlier one, or empty.
func open(t testing.TB, url, lastID string) *page {
	t.Helper()
	return dial(t, http.DefaultClient, url, lastID)
}

func dial(t testing.TB, client *http.Client, url, lastID string) *page {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := client.Do(req)
	if err != nil { // it took a connection that the server was just cutting off; browsers connect again, too
		resp, err = client.Do(req)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s of type %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	return &page{body: resp.Body, lines: bufio.NewReader(resp.Body), lastID: lastID, header: resp.Header, proto: resp.Proto}
}

// block reads up to the next blank line. What comes before a cut is forgotten, as browsers do.
func (p *page) block() (m message, err error) {
	m.id = p.lastID
	for {
		line, err := p.lines.ReadString('\n')
		if err != nil {
			return message{}, err
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			p.lastID = m.id
			if m.event == "ping" && m.data == "{}" {
				m.data = ""
				m.pings++
			}
			return m, nil
		case name == "id":
			m.id = value
		case name == "event":
			m.event = value
		case name == "data":
			m.data += value
		case name == "retry":
			p.retry = value
		default:
			return message{}, fmt.Errorf("unknown line %q", line)
		}
	}
}

// next returns the next message that a browser shows its page.
func (p *page) next() (message, error) {
	for {
		if m, err := p.block(); err != nil || m.data != "" {
			return m, err
		}
	}
}

// mustNext is next for tests in which nothing is cut.
func (p *page) mustNext(t testing.TB) message {
	t.Helper()
	m, err := p.next()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// awaitID reads until the page has an id: from then on it misses nothing.
func (p *page) awaitID(t testing.TB) {
	t.Helper()
	for p.lastID == "" {
		if _, err := p.block(); err != nil {
			t.Fatal(err)
		}
	}
}

// rowsOf returns the rows of a message.
func rowsOf(m message) ([]row, error) {
	var data struct {
		Rows []row             `json:"rows"`
		Bids []json.RawMessage `json:"bids"`
	}
	if m.event != "lots" {
		return nil, fmt.Errorf("message %q", m.event)
	}
	if err := json.Unmarshal([]byte(m.data), &data); err != nil {
		return nil, err
	}
	if data.Rows == nil || data.Bids == nil {
		return nil, fmt.Errorf("a list is missing in %s", m.data)
	}
	return data.Rows, nil
}

// rows reads on until n rows were there.
func (p *page) rows(t testing.TB, n int) []row {
	t.Helper()
	var all []row
	for len(all) < n {
		rows, err := rowsOf(p.mustNext(t))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rows...)
	}
	return all
}

// brief is rows as short text.
func brief(rows []row) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "%s@%d=%d ", r.Lot, r.Version, r.Cents)
	}
	return strings.TrimSpace(b.String())
}
