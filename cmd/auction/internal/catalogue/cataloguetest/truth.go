// Package cataloguetest compares the read model with the log that it is made of: the log
// folded by the entities' own rules is the truth, whatever the tables say.
package cataloguetest

import (
	"context"
	"fmt"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// Truth is what a log says, as the rows that the read model should have.
type Truth struct {
	Lots  map[string]*auctionv1.LotRow
	Bids  map[string][]*auctionv1.BidRow // by lot, the first one first
	Sales map[string]*auctionv1.SaleView
	// Offsets has the offset of the newest event in each shard.
	Offsets map[uint32]uint64

	states map[string]auction.Lot
}

// Read returns records of a log, as journal.Log does and an entity.Feed.
type Read func(ctx context.Context, shard uint32, from uint64, maxBytes int) ([]journal.Record, error)

// Fold reads the logs of all shards: the events that upTo has seen, or all if upTo is nil.
func Fold(ctx context.Context, read Read, shards int, upTo *journal.Token) (*Truth, error) {
	is := &Truth{
		Lots: map[string]*auctionv1.LotRow{}, Bids: map[string][]*auctionv1.BidRow{}, Sales: map[string]*auctionv1.SaleView{},
		Offsets: map[uint32]uint64{}, states: map[string]auction.Lot{},
	}
	for shard := range uint32(shards) {
		if err := is.fold(ctx, read, shard, upTo); err != nil {
			return nil, fmt.Errorf("shard %d: %w", shard, err)
		}
	}
	return is, nil
}

// pageBytes is how much of a log is read at a time.
const pageBytes = 1 << 20

func (is *Truth) fold(ctx context.Context, read Read, shard uint32, upTo *journal.Token) error {
	var reader entity.StoredReader
	for next := uint64(1); ; {
		records, err := read(ctx, shard, next, pageBytes)
		if err != nil || len(records) == 0 {
			return err
		}
		for _, rec := range records {
			if rec.Number != next {
				return fmt.Errorf("record %d follows %d", rec.Number, next-1)
			}
			next++
			offset := rec.FirstOffset
			err := reader.Each(rec, func(s *entity.Stored) error {
				first := offset
				offset += uint64(len(s.Events))
				is.Offsets[shard] = offset - 1
				return is.command(s, first, shard, upTo)
			})
			if err != nil {
				return err
			}
		}
	}
}

func (is *Truth) command(s *entity.Stored, first uint64, shard uint32, upTo *journal.Token) error {
	for i, stored := range s.Events {
		if upTo != nil && first+uint64(i) > upTo.Offset(shard) {
			return nil
		}
		if err := is.event(s, stored, s.Version-uint64(len(s.Events)-1-i)); err != nil {
			return err
		}
	}
	return nil
}

func (is *Truth) event(s *entity.Stored, stored entity.StoredEvent, version uint64) error {
	if s.Type == auction.Sales.Name() {
		msg, err := auction.Sales.Decode(stored.Type, stored.Payload)
		if err != nil {
			return err
		}
		e := msg.(*auctionv1.LotCalledUp)
		is.Sales[s.ID] = &auctionv1.SaleView{Sale: s.ID, Lot: e.GetLot(), CalledAt: e.GetAt(), Count: int64(version)}
		return nil
	}
	msg, err := auction.Lots.Decode(stored.Type, stored.Payload)
	if err != nil {
		return err
	}
	if is.states[s.ID], err = auction.Lots.Evolve(is.states[s.ID], msg); err != nil {
		return err
	}
	if e, ok := msg.(*auctionv1.BidTaken); ok {
		is.Bids[s.ID] = append(is.Bids[s.ID], &auctionv1.BidRow{
			Lot: s.ID, Number: int64(len(is.Bids[s.ID]) + 1), Bidder: auction.BidderOf(e), Paddle: e.GetPaddle(),
			AmountCents: e.GetAmountCents(), At: e.GetAt(), PriceCents: e.GetPriceCents(),
		})
	}
	is.Lots[s.ID], err = rowOf(s.ID, version, is.states[s.ID])
	return err
}

// rowOf makes a row of what the lot itself would answer.
func rowOf(id string, version uint64, lot auction.Lot) (*auctionv1.LotRow, error) {
	_, reply, err := auction.Lots.Decide(lot, &auctionv1.GetLot{}, entity.Moment{EntityID: id})
	if err != nil {
		return nil, err
	}
	v := reply.(*auctionv1.LotView)
	return &auctionv1.LotRow{
		Lot: id, Title: v.GetTitle(), Live: v.GetLiveAuction(), Closed: v.GetClosed(), PriceCents: v.GetPriceCents(), OpeningCents: v.GetOpeningCents(),
		Leader: v.GetLeader(), NextBidCents: v.GetNextBidCents(), BidCount: v.GetBidCount(), OpenedAt: v.GetOpenedAt(), ClosesAt: v.GetClosesAt(),
		ClosedAt: v.GetClosedAt(), Hammer: v.GetHammer(), Version: version,
	}, nil
}
