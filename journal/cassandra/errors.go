package cassandra

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/gocql/gocql"

	"github.com/skerryhq/skerry/journal"
)

var (
	// ErrSchema is wrapped by Open when keyspace or tables are missing.
	ErrSchema = errors.New("journal/cassandra: the schema is not complete")

	// ErrUnsafe is wrapped by Open when the database is set up in a way that could lose
	// what was promised.
	ErrUnsafe = errors.New("journal/cassandra: refused")

	// ErrSettings is wrapped by Open when the journal was made with other settings.
	ErrSettings = errors.New("journal/cassandra: the journal has other settings")
)

// failure tells what was being done when err came. An ended context is told as such.
func failure(err error, format string, args ...any) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, journal.ErrCorrupt) {
		return err
	}
	return fmt.Errorf("journal/cassandra: %s: %w", fmt.Sprintf(format, args...), err)
}

// unauthorized tells whether the database refused for want of permission.
func unauthorized(err error) bool {
	var answer gocql.RequestError
	return errors.As(err, &answer) && answer.Code() == gocql.ErrCodeUnauthorized
}

// passing tells whether the same request may succeed a moment later: the database was too busy for it, or was not reached.
func passing(err error) bool {
	var answer gocql.RequestError
	if errors.As(err, &answer) {
		switch answer.Code() {
		case gocql.ErrCodeUnavailable, gocql.ErrCodeOverloaded, gocql.ErrCodeBootstrapping, gocql.ErrCodeCASWriteUnknown,
			gocql.ErrCodeReadTimeout, gocql.ErrCodeReadFailure, gocql.ErrCodeWriteTimeout, gocql.ErrCodeWriteFailure:
			return true
		}
		return false
	}
	for _, unreached := range []error{
		gocql.ErrTimeoutNoResponse, gocql.ErrNoConnections, gocql.ErrConnectionClosed, gocql.ErrNoStreams, gocql.ErrUnavailable, io.EOF,
	} {
		if errors.Is(err, unreached) {
			return true
		}
	}
	var network net.Error
	return errors.As(err, &network) && !errors.Is(err, context.DeadlineExceeded)
}
