package auction

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
)

// Sale is the write-side state of one sale in the room: which lot is on the block. It
// is an entity of its own because no lot could say it: each knows only itself.
type Sale struct {
	Lot      string
	CalledAt time.Time
	Count    int64
}

// The command and the query that a sale answers.
var (
	CallUp  = entity.On(callUp)
	GetSale = entity.Query(getSale)
)

// Sales is the whole entity.
var Sales = entity.Define[Sale]("sale", CallUp, GetSale, entity.Apply(lotCalledUp))

// MaxLot limits the bytes of a lot's id on the block.
const MaxLot = 200

func lotCalledUp(_ Sale, e *auctionv1.LotCalledUp) Sale {
	return Sale{Lot: e.GetLot(), CalledAt: e.GetAt().AsTime(), Count: e.GetNumber()}
}

func callUp(s Sale, cmd entity.Command[*auctionv1.CallUp]) (entity.Effect, *auctionv1.SaleView, error) {
	lot := cmd.Msg.GetLot()
	if err := checkLot(lot); err != nil {
		return entity.None, nil, err
	}
	if lot == s.Lot {
		return entity.None, nil, entity.Reject("called", "lot %q is on the block already", lot)
	}
	called := &auctionv1.LotCalledUp{Lot: lot, At: timestamppb.New(cmd.Time), Number: s.Count + 1}
	return entity.Persist(called), lotCalledUp(s, called).view(cmd.EntityID), nil
}

func getSale(s Sale, cmd entity.Command[*auctionv1.GetSale]) (*auctionv1.SaleView, error) {
	return s.view(cmd.EntityID), nil
}

func (s Sale) view(id string) *auctionv1.SaleView {
	v := &auctionv1.SaleView{Sale: id, Lot: s.Lot, Count: s.Count}
	if s.Count > 0 {
		v.CalledAt = timestamppb.New(s.CalledAt)
	}
	return v
}
