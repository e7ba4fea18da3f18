package readside_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/readside"
)

func TestAnEntityIsReleasedWhenNoRuleTakesItsParkedEventAnyMore(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		log, db := newLog(1), open(t)
		notes := readside.On(func(context.Context, *sql.Tx, readside.Event[*wrapperspb.StringValue]) error {
			return errors.New("notes are not wanted")
		})
		r := start(t, quick(log, readside.SQL("balances", db.Write(), readside.On(addUp), notes)))
		log.Store("account", "ann", wrapperspb.String("a note"))
		await(t, r, "balances", log.Store("account", "ann", payment(5)))
		stop(t, r)

		r = start(t, quick(log, readside.SQL("balances", db.Write(), readside.On(addUp))))
		await(t, r, "balances", log.Token())
		if err := r.Retry(within(t), "balances", "account", "ann"); err != nil {
			t.Error(err)
		}
		if got := cents(t, db.Read(), "ann"); got != 5 {
			t.Errorf("ann has %d, want 5", got)
		}
	})
}

func TestWhatOperatorsAreToldCanBeSentWhateverTheErrorSays(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Parallel()
		for name, text := range map[string]string{
			"bytes that are no text": "bad \xff\x00 title",
			"longer than is kept":    strings.Repeat("a", 4000) + strings.Repeat("ü€", 100),
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				log, db, d := newLog(1), open(t), &defects{}
				d.set("ann", errors.New(text))
				r := start(t, quick(log, d.processor("balances", db.Write())))
				await(t, r, "balances", log.Store("account", "ann", payment(5)))
				list, err := r.Parked(t.Context(), "balances")
				if err != nil || len(list.GetEntities()) != 1 {
					t.Fatalf("parked is %v, %v", list, err)
				}
				all, err := r.Status(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, message := range []proto.Message{list, all} {
					if _, err := protojson.Marshal(message); err != nil {
						t.Error(err)
					}
				}
			})
		}
	})
}
