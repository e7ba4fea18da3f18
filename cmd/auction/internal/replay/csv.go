package replay

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
)

// Auction is one auction of the file, with its bids in the order in which they were placed.
type Auction struct {
	Name    string
	Title   string
	Opening auction.Cents
	// Final is the recorded price; 0 if the file has none.
	Final auction.Cents
	Bids  []Bid

	line int
}

// Bid is one line of the file.
type Bid struct {
	Line    int
	Bidder  string
	Maximum auction.Cents

	days float64
}

// Problem is a line that cannot be sent, and why.
type Problem struct {
	Line int
	Why  string
}

// String implements fmt.Stringer.
func (p Problem) String() string { return fmt.Sprintf("line %d: %s", p.Line, p.Why) }

// maxLines limits a file: all of it is held in memory.
const maxLines = 1_000_000

// The columns that a file must have, in any order, and those that it may have.
var (
	required = []string{"auction", "opening_bid", "bid_time_days", "bidder", "max_bid"}
	optional = []string{"item", "final_price"}
)

// maxLine limits the bytes of one line.
const maxLine = 64 << 10

// Read reads a file of bids. It returns the auctions in the order in which the file names
// them, each with its good lines in order of bid time (equal times in the file's order), and all
// lines that are not good. The error is for a file of which nothing can be used.
//
// Each line stands for itself: a field with a line break in it, which CSV would allow
// within quotes, is two bad lines, so that a quote that is never closed costs one line and not the rest of the file.
func Read(r io.Reader) ([]Auction, []Problem, error) {
	lines := bufio.NewScanner(withoutMark(r))
	lines.Buffer(nil, maxLine)
	f := file{byName: map[string]int{}}
	n := 1
	for ; lines.Scan(); n++ {
		switch {
		case n == 1:
			columns, err := readHeader(lines.Text())
			if err != nil {
				return nil, nil, err
			}
			f.columns = columns
		case n > maxLines:
			return nil, nil, fmt.Errorf("more than %d lines: split the file", maxLines)
		default:
			f.read(n, lines.Text())
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, nil, fmt.Errorf("line %d: it is longer than %d bytes: is this a file of bids?", n, maxLine)
	case err != nil:
		return nil, nil, err
	case n == 1:
		return nil, nil, errors.New("line 1: the file is empty, the header is missing")
	}
	return f.sorted(), f.problems, nil
}

// read takes one line; an empty one says nothing.
func (f *file) read(n int, text string) {
	if text == "" {
		return
	}
	fields, err := split(text)
	if err == nil {
		err = f.add(n, fields)
	}
	if err != nil {
		f.problems = append(f.problems, Problem{n, err.Error()})
	}
}

// split returns the fields of one line.
func split(line string) ([]string, error) {
	fields, err := csv.NewReader(strings.NewReader(line)).Read()
	var bad *csv.ParseError
	if errors.As(err, &bad) {
		return nil, bad.Err // without its own count of lines, which is always 1
	}
	return fields, err
}

// withoutMark skips the byte order mark that spreadsheets write.
func withoutMark(r io.Reader) io.Reader {
	b := bufio.NewReader(r)
	if mark, _ := b.Peek(3); string(mark) == "\ufeff" {
		_, _ = b.Discard(3)
	}
	return b
}

func readHeader(line string) (map[string]int, error) {
	header, err := split(line)
	if err != nil {
		return nil, fmt.Errorf("line 1: the header cannot be read: %w", err)
	}
	columns := map[string]int{}
	for i, name := range header {
		if _, twice := columns[name]; twice {
			return nil, fmt.Errorf("line 1: there are two columns %q", name)
		}
		columns[name] = i
	}
	for _, name := range required {
		if _, ok := columns[name]; !ok {
			return nil, fmt.Errorf("line 1: there is no column %q: a file has the columns %q, and may have %q", name, required, optional)
		}
	}
	return columns, nil
}

// file gathers what has been read.
type file struct {
	columns  map[string]int
	auctions []Auction
	byName   map[string]int
	problems []Problem
}

func (f *file) add(line int, fields []string) error {
	if len(fields) != len(f.columns) {
		return fmt.Errorf("it has %d fields, the header has %d", len(fields), len(f.columns))
	}
	found, bid, err := f.parse(line, fields)
	if err != nil {
		return err
	}
	i, known := f.byName[found.Name]
	if !known {
		i = len(f.auctions)
		f.byName[found.Name] = i
		f.auctions = append(f.auctions, found)
	}
	a := &f.auctions[i]
	if a.Opening != found.Opening || a.Final != found.Final {
		return fmt.Errorf("opening_bid or final_price differ from those of auction %s in line %d", a.Name, a.line)
	}
	a.Bids = append(a.Bids, bid)
	return nil
}

func (f *file) parse(line int, fields []string) (a Auction, b Bid, err error) {
	get := func(column string) string {
		if i, ok := f.columns[column]; ok {
			return fields[i]
		}
		return ""
	}
	a = Auction{Name: get("auction"), Title: get("item"), line: line}
	if a.Title == "" {
		a.Title = "Auction " + a.Name
	}
	b = Bid{Line: line, Bidder: get("bidder")}
	if err := checkNames(a, b); err != nil {
		return a, b, err
	}
	if a.Opening, err = auction.ParseCents(get("opening_bid")); err != nil {
		return a, b, fmt.Errorf("opening_bid: %w", err)
	}
	if b.Maximum, err = auction.ParseCents(get("max_bid")); err != nil {
		return a, b, fmt.Errorf("max_bid: %w", err)
	}
	if final := get("final_price"); final != "" {
		if a.Final, err = auction.ParseCents(final); err != nil {
			return a, b, fmt.Errorf("final_price: %w", err)
		}
	}
	if b.days, err = strconv.ParseFloat(get("bid_time_days"), 64); err != nil || math.IsNaN(b.days) || math.IsInf(b.days, 0) || b.days < 0 {
		return a, b, fmt.Errorf("bid_time_days: %q is not a number of days", get("bid_time_days"))
	}
	return a, b, nil
}

func checkNames(a Auction, b Bid) error {
	return errors.Join(
		checkName("auction", a.Name, maxAuction),
		checkName("item", a.Title, auction.MaxTitle),
		checkName("bidder", b.Bidder, auction.MaxBidder),
	)
}

// maxAuction limits the bytes of an auction's name, which becomes part of a lot's id.
const maxAuction = 200

func checkName(column, name string, limit int) error {
	if name == "" || len(name) > limit {
		return fmt.Errorf("%s: a name has 1 to %d bytes, this one has %d", column, limit, len(name))
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("%s: %q is not UTF-8 text on one line", column, name)
	}
	return nil
}

func (f *file) sorted() []Auction {
	for _, a := range f.auctions {
		slices.SortStableFunc(a.Bids, func(x, y Bid) int { return cmp.Compare(x.days, y.days) })
	}
	return f.auctions
}
