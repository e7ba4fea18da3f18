package catalogue_test

import (
	"errors"
	"net/http"
	"testing"

	"connectrpc.com/connect"

	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	apiv1 "github.com/skerryhq/skerry/proto/skerry/api/v1"
)

func TestTheSameQuestionsAreAnsweredAsRPCs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	defer s.close()
	s.send("lot", "lamp", &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 100})
	s.send("lot", "lamp", &auctionv1.PlaceBid{Bidder: "ann", AmountCents: 200})
	client := connect.NewClient[auctionv1.ShowLot, auctionv1.LotPage](http.DefaultClient, s.url+"/auction.v1.Catalogue/ShowLot")
	ask := connect.NewRequest(&auctionv1.ShowLot{Lot: "lamp"})
	ask.Header().Set("Skerry-Token", s.head().String())
	ask.Header().Set("Skerry-Timeout", "60s")
	page, err := client.CallUnary(t.Context(), ask)
	s.must(err)
	if page.Msg.GetRow().GetLeader() != "ann" || len(page.Msg.GetBids()) != 1 || page.Header().Get("Skerry-Token") != s.head().String() {
		t.Fatalf("got %v at %q", page.Msg, page.Header().Get("Skerry-Token"))
	}
	for code, ask := range map[connect.Code]*auctionv1.ShowLot{
		connect.CodeNotFound:        {Lot: "no-such"},
		connect.CodeInvalidArgument: {Lot: "lamp", PageSize: -1},
	} {
		_, err := client.CallUnary(t.Context(), connect.NewRequest(ask))
		var no *connect.Error
		if !errors.As(err, &no) || no.Code() != code || len(no.Details()) != 1 {
			t.Fatalf("%v gives %v", ask, err)
		}
		if detail, err := no.Details()[0].Value(); err != nil || detail.(*apiv1.Error).GetCode() == "" {
			t.Fatalf("%v gives the detail %v, %v", ask, detail, err)
		}
	}
	forged := connect.NewRequest(&auctionv1.ShowLot{Lot: "lamp"})
	forged.Header().Set("Skerry-Token", s.head().With(0, 1000).String())
	if _, err := client.CallUnary(t.Context(), forged); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Fatalf("got %v", err)
	}
}
