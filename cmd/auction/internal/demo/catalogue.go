package demo

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// item is what is sold in each round, as a lot of its own.
type item struct {
	name, title string
	opening     auction.Cents
	// worth is what people think of it, more or less.
	worth auction.Cents
	// lasts is how long the lot is open; 0 for a live lot.
	lasts time.Duration
}

var catalogue = []item{
	{"lamp", "A brass lamp", 10_00, 60_00, 60 * time.Second},
	{"clock", "A cuckoo clock", 25_00, 180_00, 90 * time.Second},
	{"camera", "A folding camera", 40_00, 320_00, 120 * time.Second},
	{"globe", "A globe of 1911", 5_00, 95_00, 180 * time.Second},
	{"violin", "A violin, restored", 200_00, 1_500_00, 0},
}

var bidders = []string{"ann", "bob", "cid", "dot", "eve", "fay"}

// firstPaddle is the least of those in the room.
const firstPaddle = 11

func (i item) lot(round int) string { return fmt.Sprint(i.name, "-", round) }

func (i item) open() *auctionv1.OpenLot {
	cmd := &auctionv1.OpenLot{Title: i.title, OpeningCents: int64(i.opening)}
	if i.lasts > 0 {
		cmd.Closing = &auctionv1.OpenLot_ClosesAfter{ClosesAfter: durationpb.New(i.lasts)}
	}
	return cmd
}

// limit is the most that a bidder pays for a lot: 60 to 140 of 100 parts of its
// worth, the same whenever it is asked.
func limit(seed uint64, i item, lot, bidder string) auction.Cents {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, lot, "/", bidder)
	parts := 60 + rand.New(rand.NewPCG(seed, h.Sum64())).Int64N(81)
	return i.worth * auction.Cents(parts) / 100
}
