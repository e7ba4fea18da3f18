package cassandra

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gocql/gocql"

	"github.com/skerryhq/skerry/journal"
)

const (
	insertFact  = "INSERT INTO meta (part, name, value) VALUES (?, ?, ?) IF NOT EXISTS"
	selectFacts = "SELECT name, value FROM meta WHERE part = ? AND name >= ?"
)

// factsPart is the partition of meta: all facts share it, so that they are sorted.
const factsPart = "journal"

// Settle implements journal.Journal. Name and value are UTF-8. An insert whose outcome is unknown is repeated
// until ctx ends, for 30 s at most: many nodes that start at once are in each other's way.
func (j *Journal) Settle(ctx context.Context, name, value string) (settled string, err error) {
	if name == "" || !utf8.ValidString(name) || !utf8.ValidString(value) {
		return "", fmt.Errorf("%w: settle %q as %q: it must be UTF-8", journal.ErrInvalid, name, value)
	}
	if err := j.enter(ctx); err != nil {
		return "", err
	}
	defer j.calls.Done()
	err = patientlyWhile(ctx, func(err error) bool { return !unauthorized(err) }, func(ctx context.Context) (err error) {
		settled, err = j.settle(ctx, name, value)
		return err
	})
	if err != nil {
		return "", failure(err, "settle %q", name)
	}
	return settled, nil
}

func (j *Journal) settle(ctx context.Context, name, value string) (string, error) {
	return settleWith(j.query(ctx, insertFact, factsPart, name, value).SerialConsistency(j.cfg.serial()).RoutingKey([]byte(factsPart)), value)
}

// settleWith sends the insert of a fact and returns the value that is stored.
func settleWith(insert *gocql.Query, value string) (string, error) {
	iter := insert.NoSkipMetadata().Iter()
	applied, settled := false, value
	err := scanCAS(iter, &applied, func(row func(...any) bool) error {
		row(nil, nil, &settled)
		return nil
	})
	return settled, err
}

// Settled implements journal.Journal.
func (j *Journal) Settled(ctx context.Context, prefix string, visit func(name, value string) error) error {
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.calls.Done()
	// Cassandra takes UTF-8 only; a prefix may end within a character.
	r := factReading{from: strings.ToValidUTF8(prefix, ""), prefix: prefix, visit: visit}
	err := again(ctx, func() error {
		return r.take(j.query(ctx, selectFacts, factsPart, r.from).RoutingKey([]byte(factsPart)).Iter())
	})
	if err != nil {
		err = failure(err, "read the settled facts")
	}
	return errors.Join(r.visited, err)
}

// factReading is a reading of facts. It knows the newest one it has taken (names are not empty), so that a second attempt goes
// on behind it.
type factReading struct {
	from, prefix string
	last         string
	visit        func(name, value string) error
	visited      error // what the visitor said
}

// take visits the facts. It returns errors of the database only.
func (r *factReading) take(iter *gocql.Iter) error {
	var name, value string
	for iter.Scan(&name, &value) && strings.HasPrefix(name, r.from) {
		if name <= r.last || !strings.HasPrefix(name, r.prefix) {
			continue
		}
		r.last = name
		if r.visited = r.visit(name, value); r.visited != nil {
			_ = iter.Close() // the visitor's error is what counts, and is not repeated
			return nil       //nolint:nilerr // it is in visited
		}
	}
	return iter.Close()
}
