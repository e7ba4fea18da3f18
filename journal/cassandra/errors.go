package cassandra

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

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

// errUnheard is a node that does not know a table or keyspace yet which another one has shown: the schema goes from node to node.
var errUnheard = errors.New("the node does not know the schema yet")

// unheard tells whether the database says that something does not exist.
func unheard(err error) bool {
	var answer gocql.RequestError
	return errors.As(err, &answer) && answer.Code() == gocql.ErrCodeInvalid && strings.Contains(answer.Message(), "does not exist")
}

// unnamed are errors of the driver that it exports no variable for: the connection was given up, or there is none,
// or the nodes have not heard of a change of the schema in a minute.
var unnamed = []string{"gocql: heartbeat failed", "no connection available", "schema versions not consistent"}

// passing tells whether the same request may succeed a moment later: the database was too busy for it, or was not reached.
func passing(err error) bool {
	if errors.Is(err, errUnheard) || errors.Is(err, errNoAnswer) {
		return true
	}
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
		gocql.ErrTimeoutNoResponse, gocql.ErrTooManyTimeouts, gocql.ErrNoConnections, gocql.ErrConnectionClosed, gocql.ErrNoStreams,
		gocql.ErrUnavailable, io.EOF,
	} {
		if errors.Is(err, unreached) {
			return true
		}
	}
	if err != nil && slices.ContainsFunc(unnamed, func(text string) bool { return strings.Contains(err.Error(), text) }) {
		return true
	}
	var network net.Error
	return errors.As(err, &network) && !errors.Is(err, context.DeadlineExceeded)
}
