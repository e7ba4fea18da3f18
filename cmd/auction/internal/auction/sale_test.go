package auction_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity/entitytest"
)

func TestASaleHasOneLotOnTheBlock(t *testing.T) {
	t.Parallel()
	s := entitytest.New(t, auction.Sales).ID("today").At(noon)
	s.When(&auctionv1.GetSale{}).ThenReply(&auctionv1.SaleView{Sale: "today"})
	s.When(&auctionv1.CallUp{Lot: "violin"}).
		ThenEvents(&auctionv1.LotCalledUp{Lot: "violin", At: timestamppb.New(noon), Number: 1})
	s.When(&auctionv1.CallUp{Lot: "violin"}).ThenRejected("called")
	s.When(&auctionv1.CallUp{Lot: "vase"})
	s.When(&auctionv1.CallUp{Lot: "violin"}) // it came back
	s.When(&auctionv1.GetSale{}).
		ThenReply(&auctionv1.SaleView{Sale: "today", Lot: "violin", CalledAt: timestamppb.New(noon), Count: 3})
}

func TestASaleTakesOnlyWhatCanNameALot(t *testing.T) {
	t.Parallel()
	s := entitytest.New(t, auction.Sales).ID("today").At(noon)
	for _, lot := range []string{"", "a\nb", strings.Repeat("x", auction.MaxLot+1)} {
		s.When(&auctionv1.CallUp{Lot: lot}).ThenRejected("lot")
	}
}
