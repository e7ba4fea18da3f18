package auction_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// A bid of 0.1.0 is read as one of today that says the same. Whole journals of 0.1.0 are read by
// the tests of the service.
func TestABidThatWasStoredByTheFirstReleaseIsReadAsOneOfToday(t *testing.T) {
	t.Parallel()
	stored, err := proto.Marshal(&auctionv1.BidPlaced{Bidder: "bob", AmountCents: 20_00, At: timestamppb.New(noon), Leader: "ann", PriceCents: 20_50})
	if err != nil {
		t.Fatal(err)
	}
	if name := auction.Lots.Current("auction.v1.BidPlaced"); name != "auction.v1.BidTaken" {
		t.Fatalf("it is read as %q", name)
	}
	got, err := auction.Lots.Decode("auction.v1.BidPlaced", stored)
	if err != nil {
		t.Fatal(err)
	}
	want := &auctionv1.BidTaken{
		By: &auctionv1.BidTaken_Online{Online: "bob"}, AmountCents: 20_00, At: timestamppb.New(noon),
		Leader: "ann", PriceCents: 20_50, NextBidCents: 21_00,
	}
	if !proto.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestBidsOfBothReleasesAreNumberedOnWithoutAGap(t *testing.T) {
	t.Parallel()
	lot := auction.Lot{Opening: 1, OpenedAt: noon}
	for i, stored := range []proto.Message{
		&auctionv1.BidPlaced{Bidder: "ann", AmountCents: 10, Leader: "ann", PriceCents: 1},
		&auctionv1.BidPlaced{Bidder: "bob", AmountCents: 20, Leader: "bob", PriceCents: 15},
		&auctionv1.BidTaken{By: &auctionv1.BidTaken_Paddle{Paddle: 7}, AmountCents: 30, Leader: "paddle 7", PriceCents: 30, Number: 3},
	} {
		payload, err := proto.Marshal(stored)
		if err != nil {
			t.Fatal(err)
		}
		e, err := auction.Lots.Decode(string(stored.ProtoReflect().Descriptor().FullName()), payload)
		if err != nil {
			t.Fatal(err)
		}
		if lot, err = auction.Lots.Evolve(lot, e); err != nil {
			t.Fatal(err)
		}
		if newest := lot.Newest[len(lot.Newest)-1]; newest.Number != int64(i+1) {
			t.Fatalf("bid %d has the number %d", i+1, newest.Number)
		}
	}
	if own, _ := lot.Maxima.Of("ann"); own != 10 {
		t.Fatalf("ann's maximum is %v", own)
	}
}
