package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/skerryhq/skerry/breaker"
	"github.com/skerryhq/skerry/breaker/service"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	paymentsv1 "github.com/skerryhq/skerry/cmd/payments/proto/payments/v1"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	"github.com/skerryhq/skerry/readside"
)

// This file has the winner of each lot charged by another service, cmd/payments, through a breaker: while
// that is away the auction does not notice, and the charges wait.

// Payments says where winners are charged.
type Payments struct {
	// URLs of the payments service, with commas between; empty: nobody is charged.
	URLs string
	// CallTimeout and ResetTimeout are those of the breaker.
	CallTimeout  time.Duration
	ResetTimeout time.Duration
}

// maxCallTimeout leaves the read side, which gives a handler 5 s, time to hear of a call that timed out.
const maxCallTimeout = 4 * time.Second

func (p *Payments) register(fs *flag.FlagSet) {
	fs.StringVar(&p.URLs, "payments", "", "have the winners charged by a payments service, such as http://127.0.0.1:8070; several URLs with commas between; empty means nobody is charged")
	fs.DurationVar(&p.CallTimeout, "payments-call-timeout", 3*time.Second, "how long a charge may take; at most 4s")
	fs.DurationVar(&p.ResetTimeout, "payments-reset-timeout", 15*time.Second, "how long an open breaker leaves the payments service alone before it asks again")
}

// check refuses what cannot be meant.
func (p Payments) check() error {
	if _, err := p.endpoints(); err != nil {
		return err
	}
	switch {
	case p.CallTimeout <= 0 || p.CallTimeout > maxCallTimeout:
		return fmt.Errorf("-payments-call-timeout is %v: use more than 0, at most %v", p.CallTimeout, maxCallTimeout)
	case p.ResetTimeout <= 0:
		return fmt.Errorf("-payments-reset-timeout is %v: use a time such as 15s", p.ResetTimeout)
	}
	return nil
}

// endpoints are the addresses in the URLs; none if nobody is to be charged.
func (p Payments) endpoints() (addresses []string, err error) {
	for _, text := range strings.FieldsFunc(p.URLs, func(r rune) bool { return r == ',' }) {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" || u.Port() == "" || strings.TrimSuffix(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
			return nil, fmt.Errorf("-payments has %q: give URLs such as http://127.0.0.1:8070", text)
		}
		addresses = append(addresses, u.Host)
	}
	return addresses, nil
}

// chargers charges winners.
type chargers struct {
	base   *http.Transport
	client *http.Client
}

// newBreakers makes the group of all breakers of the service. It is there also where nobody is charged: operators see that it is empty.
func newBreakers(p Payments, log *slog.Logger) (*breaker.Group, error) {
	return breaker.NewGroup(breaker.GroupConfig{Logger: log, Settings: map[string]breaker.Settings{
		"payments": {CallTimeout: p.CallTimeout, ResetTimeout: p.ResetTimeout},
	}})
}

// newChargers returns nil if nobody is to be charged.
func newChargers(p Payments, breakers *breaker.Group, log *slog.Logger) (*chargers, error) {
	endpoints, err := p.endpoints()
	if err != nil || len(endpoints) == 0 {
		return nil, err
	}
	c := &chargers{base: http.DefaultTransport.(*http.Transport).Clone()}
	services, err := service.New(service.Config{
		Resolver: service.Static{"payments": endpoints}, Breakers: breakers, Base: c.base, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	c.client = &http.Client{Transport: services}
	return c, nil
}

// prepareCharges makes the breakers, and what calls through them.
func (s *Service) prepareCharges(_ context.Context, cfg Config) (err error) {
	if s.breakers, err = newBreakers(cfg.Payments, cfg.Logger); err != nil {
		return err
	}
	s.chargers, err = newChargers(cfg.Payments, s.breakers, cfg.Logger)
	return err
}

// close ends the connections, when nobody is being charged any more.
func (c *chargers) close() error {
	c.base.CloseIdleConnections()
	return nil
}

// beside adds to a processor the one that charges, if anybody is to be charged. Its name is stored in db: it goes on where
// it was, however long nobody was charged.
func (c *chargers) beside(other readside.Processor, db *sql.DB) []readside.Processor {
	if c == nil {
		return []readside.Processor{other}
	}
	return []readside.Processor{other, readside.AtLeastOnce("charge", db, readside.Call(c.charge, readside.OfType("lot")))}
}

// charge charges a lot's winner. It may run more than once for a lot: the event's id is the key, and a payment is made once.
func (c *chargers) charge(ctx context.Context, ev readside.Event[*auctionv1.LotClosed]) error {
	if ev.Msg.GetWinner() == "" {
		return nil
	}
	want := &paymentsv1.Charge{Bidder: ev.Msg.GetWinner(), AmountCents: ev.Msg.GetPriceCents(), Reference: ev.ID()}
	body, err := protojson.Marshal(want)
	if err != nil {
		return fmt.Errorf("encode the charge: %w", err)
	}
	ctx = service.WithTrace(service.WithKey(ctx, ev.ID()), ev.Trace)
	target := "http://payments/v1/entities/payment/" + url.PathEscape(ev.EntityID) + "/Charge"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("charge lot %q: %w", ev.EntityID, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if err := c.send(req, want); err != nil {
		return fmt.Errorf("charge lot %q: %w", ev.EntityID, err)
	}
	return nil
}

// maxPayment limits what is read of an answer.
const maxPayment = 64 << 10

// send sends a charge and looks whether it was made as it was meant.
func (c *chargers) send(req *http.Request, want *paymentsv1.Charge) error {
	resp, err := c.client.Do(req)
	if err != nil {
		return err // of the network, or of the breaker: it says itself that it is unavailable
	}
	defer resp.Body.Close()
	if err := gateway.ReadError(resp); err != nil {
		return verdict(resp.StatusCode, err)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxPayment))
	if err != nil {
		return &awayError{fmt.Errorf("the answer broke off: %w", err)}
	}
	var made paymentsv1.PaymentView
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, &made); err != nil {
		return fmt.Errorf("the answer is no payment: %w", err)
	}
	if made.GetBidder() != want.GetBidder() || made.GetAmountCents() != want.GetAmountCents() {
		return errors.New("the answer is another payment's")
	}
	return nil
}

// verdict tells answers that concern the charge from those that only say that it cannot be made now, or that come from something
// between here and the service.
func verdict(status int, err error) error {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return &awayError{err}
	}
	if status >= http.StatusInternalServerError || errors.Is(err, entity.ErrUnknownOutcome) {
		return &awayError{err}
	}
	return err
}

// awayError is an answer of a service that cannot answer now. The read side waits for it, and parks nothing.
type awayError struct{ error }

func (e *awayError) Unwrap() error { return e.error }

// Unavailable tells that it is no verdict on the charge.
func (*awayError) Unavailable() bool { return true }
