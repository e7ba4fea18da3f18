package docs_test

import (
	"os"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/entitytest"

	pb "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// What evolution.md shows is a part of this file. testdata/evolution/lot-42.json was recorded with the
// sample of 0.1.0.

// Lot is a lot as small as the page needs it.
type Lot struct{ Price int64 }

var Lots = entity.Define[Lot]("lot",
	entity.On(placeBid),
	entity.Upcast[Lot](takenFromPlaced),
	entity.Apply(func(l Lot, e *pb.BidTaken) Lot { l.Price = e.GetPriceCents(); return l }),
	entity.Apply(func(l Lot, _ *pb.LotOpened) Lot { return l }), // means nothing any more
)

// takenFromPlaced reads a bid of the first release, when all bids came online.
func takenFromPlaced(old *pb.BidPlaced) *pb.BidTaken {
	return &pb.BidTaken{
		By: &pb.BidTaken_Online{Online: old.GetBidder()}, AmountCents: old.GetAmountCents(),
		At: old.GetAt(), Leader: old.GetLeader(), PriceCents: old.GetPriceCents(),
	}
}

func placeBid(l Lot, cmd entity.Command[*pb.PlaceBid]) (entity.Effect, *pb.LotView, error) {
	if cmd.Msg.GetAmountCents() <= l.Price {
		return entity.None, nil, entity.Reject("low", "bid more than %d", l.Price)
	}
	return entity.Persist(&pb.BidTaken{PriceCents: cmd.Msg.GetAmountCents()}), &pb.LotView{}, nil
}

func TestRecordedBidsCount(t *testing.T) {
	entitytest.New(t, Lots).
		GivenHistory("testdata/evolution/lot-42.json").
		When(&pb.PlaceBid{Bidder: "eve", AmountCents: 2_050}).
		ThenRejected("low")
}

func TestBidsOfTheFirstReleaseCount(t *testing.T) {
	entitytest.New(t, Lots).
		Given(&pb.BidPlaced{Bidder: "ann", PriceCents: 12_000}).
		When(&pb.PlaceBid{Bidder: "bob", AmountCents: 11_000}).
		ThenRejected("low")
}

// A block of the page that names a file of tests is a part of it, word for word: so it is compiled and run.
func TestCodeOnThePageOfEvolutionIsTested(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, b := range blocksOf(t, "evolution.md") {
		if b.language != "go" {
			continue
		}
		checked++
		text, err := os.ReadFile(b.name)
		if err != nil {
			t.Errorf("a block names no file: %v\n%s", err, b.text)
		} else if !strings.Contains(string(text), b.text) {
			t.Errorf("%s does not have\n%s", b.name, b.text)
		}
	}
	if checked < 2 {
		t.Errorf("only %d blocks of code were found", checked)
	}
}
