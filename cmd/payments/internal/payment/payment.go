package payment

import (
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/timestamppb"

	paymentsv1 "github.com/skerryhq/skerry/cmd/payments/proto/payments/v1"
	"github.com/skerryhq/skerry/entity"
)

// Payment is the write-side state of one payment. Only the Apply rule below changes it.
type Payment struct {
	Bidder    string // empty until it is made
	Cents     int64
	Reference string
	At        time.Time
}

// The command and the query that a payment answers.
var (
	Charge     = entity.On(charge)
	GetPayment = entity.Query(getPayment)
)

// Payments is the whole entity.
var Payments = entity.Define[Payment]("payment", Charge, GetPayment, entity.Apply(charged))

// The limits on what a payment takes.
const (
	MaxBidder    = 64             // bytes
	MaxCents     = 100_000_000_00 // a hundred million
	MaxReference = 256            // bytes
)

func charged(_ Payment, e *paymentsv1.Charged) Payment {
	return Payment{Bidder: e.GetBidder(), Cents: e.GetAmountCents(), Reference: e.GetReference(), At: e.GetAt().AsTime()}
}

// charge takes the money once. The same charge again is told what was charged, also when its key
// is forgotten: a reader of the auction's log may begin anew after years.
func charge(p Payment, cmd entity.Command[*paymentsv1.Charge]) (entity.Effect, *paymentsv1.PaymentView, error) {
	if err := check(cmd.Msg); err != nil {
		return entity.None, nil, err
	}
	switch {
	case p.made() && (p.Bidder != cmd.Msg.GetBidder() || p.Cents != cmd.Msg.GetAmountCents()):
		return entity.None, nil, entity.Reject("charged", "lot %q was charged already: %d cents to %s", cmd.EntityID, p.Cents, p.Bidder)
	case p.made():
		return entity.None, p.view(cmd.EntityID), nil
	}
	e := &paymentsv1.Charged{
		Bidder: cmd.Msg.GetBidder(), AmountCents: cmd.Msg.GetAmountCents(), Reference: cmd.Msg.GetReference(), At: timestamppb.New(cmd.Time),
	}
	return entity.Persist(e), charged(p, e).view(cmd.EntityID), nil
}

func getPayment(p Payment, cmd entity.Command[*paymentsv1.GetPayment]) (*paymentsv1.PaymentView, error) {
	if !p.made() {
		return nil, entity.Reject("not-charged", "lot %q was not charged", cmd.EntityID)
	}
	return p.view(cmd.EntityID), nil
}

func (p Payment) made() bool { return p.Bidder != "" }

func (p Payment) view(lot string) *paymentsv1.PaymentView {
	return &paymentsv1.PaymentView{Lot: lot, Bidder: p.Bidder, AmountCents: p.Cents, Reference: p.Reference, ChargedAt: timestamppb.New(p.At)}
}

func check(c *paymentsv1.Charge) error {
	if n := len(c.GetBidder()); n == 0 || n > MaxBidder || strings.ContainsFunc(c.GetBidder(), unicode.IsControl) {
		return entity.Reject("bidder", "a bidder's name has 1 to %d bytes and no control characters, this is %q", MaxBidder, c.GetBidder())
	}
	if n := c.GetAmountCents(); n < 1 || n > MaxCents {
		return entity.Reject("amount", "amount_cents is %d: an amount is 1 to %d cents", n, MaxCents)
	}
	if n := len(c.GetReference()); n > MaxReference {
		return entity.Reject("reference", "a reference has at most %d bytes, this one has %d", MaxReference, n)
	}
	return nil
}
