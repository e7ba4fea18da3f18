package payment_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/skerryhq/skerry/cmd/payments/internal/payment"
	paymentsv1 "github.com/skerryhq/skerry/cmd/payments/proto/payments/v1"
	"github.com/skerryhq/skerry/entity/entitytest"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestALotIsChargedOnce(t *testing.T) {
	t.Parallel()
	charge := &paymentsv1.Charge{Bidder: "ann", AmountCents: 50_00, Reference: "h/3/7"}
	paid := &paymentsv1.PaymentView{Lot: "lamp", Bidder: "ann", AmountCents: 50_00, Reference: "h/3/7", ChargedAt: timestamppb.New(noon)}
	s := entitytest.New(t, payment.Payments).ID("lamp").At(noon)
	s.When(&paymentsv1.GetPayment{}).ThenRejected("not-charged")
	s.When(charge).
		ThenEvents(&paymentsv1.Charged{Bidder: "ann", AmountCents: 50_00, Reference: "h/3/7", At: timestamppb.New(noon)}).
		ThenReply(paid)
	s.At(noon.Add(365 * 24 * time.Hour))
	s.When(charge).ThenEvents().ThenReply(paid)
	s.When(&paymentsv1.Charge{Bidder: "ann", AmountCents: 50_00, Reference: "another log"}).ThenEvents().ThenReply(paid)
	s.When(&paymentsv1.Charge{Bidder: "bob", AmountCents: 50_00}).ThenRejected("charged")
	s.When(&paymentsv1.Charge{Bidder: "ann", AmountCents: 50_01}).ThenRejected("charged")
	s.When(&paymentsv1.GetPayment{}).ThenReply(paid)
}

func TestAChargeIsChecked(t *testing.T) {
	t.Parallel()
	s := entitytest.New(t, payment.Payments).ID("lamp").At(noon)
	for code, charges := range map[string][]*paymentsv1.Charge{
		"bidder":    {{AmountCents: 1}, {Bidder: "a\nb", AmountCents: 1}, {Bidder: strings.Repeat("x", payment.MaxBidder+1), AmountCents: 1}},
		"amount":    {{Bidder: "ann"}, {Bidder: "ann", AmountCents: -1}, {Bidder: "ann", AmountCents: payment.MaxCents + 1}},
		"reference": {{Bidder: "ann", AmountCents: 1, Reference: strings.Repeat("x", payment.MaxReference+1)}},
	} {
		for _, c := range charges {
			s.When(c).ThenRejected(code)
		}
	}
}
