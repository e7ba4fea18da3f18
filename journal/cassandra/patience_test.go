package cassandra

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gocql/gocql"
)

// busy is what a database answers that has no time.
type busy struct{ gocql.RequestErrWriteTimeout }

func (busy) Code() int     { return gocql.ErrCodeWriteTimeout }
func (busy) Error() string { return "Operation timed out - received only 0 responses." }

type forbidden struct{ gocql.RequestError }

func (forbidden) Code() int     { return gocql.ErrCodeUnauthorized }
func (forbidden) Error() string { return "no permission" }

type invalid struct {
	gocql.RequestError
	message string
}

func (invalid) Code() int         { return gocql.ErrCodeInvalid }
func (e invalid) Message() string { return e.message }
func (e invalid) Error() string   { return e.message }

func TestANodeThatDoesNotKnowATableYetIsToldFromOneThatRefuses(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		invalid{message: "table log does not exist"}:    true,
		invalid{message: "Keyspace 'k' does not exist"}: true,
		invalid{message: "Invalid STRING constant"}:     false,
		forbidden{}: false,
		errors.New("dial: /etc/resolv.conf does not exist"): false,
	} {
		if unheard(err) != want {
			t.Errorf("%v: a table that is not known yet: %v", err, !want)
		}
	}
}

func TestOpenIsPatientWithABusyDatabaseOnly(t *testing.T) {
	t.Parallel()
	sick := &busy{}
	cases := []struct {
		err     error
		patient bool
	}{
		{sick, true},
		{failure(sick, "try a change"), true},
		{gocql.ErrTimeoutNoResponse, true},
		{gocql.ErrNoConnections, true},
		{errors.New("gocql: heartbeat failed"), true},
		{fmt.Errorf("the schema: %w", errors.New("gocql: cluster schema versions not consistent: [a b]")), true},
		{fmt.Errorf("%w: table k.log", errUnheard), true},
		{forbidden{}, false},
		{fmt.Errorf("%w: two replicas", ErrUnsafe), false},
		{gocql.ErrNotFound, false},
		{context.Canceled, false},
	}
	for _, c := range cases {
		synctest.Test(t, func(t *testing.T) {
			began, asked := time.Now(), 0
			once := func(context.Context) error {
				if asked++; asked < 6 {
					return c.err
				}
				return nil
			}
			if err := patiently(t.Context(), once); c.patient && err != nil || !c.patient && (!errors.Is(err, c.err) || asked > 1) {
				t.Errorf("%v, then an answer: %v after %d questions", c.err, err, asked)
			}
			always := func(context.Context) error { return c.err }
			if err := patiently(t.Context(), always); !errors.Is(err, c.err) || time.Since(began) > 2*openPatience {
				t.Errorf("always %v: %v after %s", c.err, err, time.Since(began))
			}
		})
	}
}
