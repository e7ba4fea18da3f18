package cassandra

import (
	"context"
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

// settleAttempts is how often an insert is repeated whose outcome is unknown. Many
// nodes that start at once are in each other's way.
const settleAttempts = 10

// Settle implements journal.Journal. Name and value are UTF-8.
func (j *Journal) Settle(ctx context.Context, name, value string) (string, error) {
	if name == "" || !utf8.ValidString(name) || !utf8.ValidString(value) {
		return "", fmt.Errorf("%w: settle %q as %q: it must be UTF-8", journal.ErrInvalid, name, value)
	}
	if err := j.enter(ctx); err != nil {
		return "", err
	}
	defer j.calls.Done()
	for attempt := 1; ; attempt++ {
		settled, err := j.settle(ctx, name, value)
		if err == nil {
			return settled, nil
		}
		if attempt == settleAttempts || unauthorized(err) || pause(ctx, connectFirst<<min(attempt, 5)) != nil {
			return "", failure(err, "settle %q", name)
		}
	}
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
	from := strings.ToValidUTF8(prefix, "")
	iter := j.query(ctx, selectFacts, factsPart, from).RoutingKey([]byte(factsPart)).Iter()
	var name, value string
	for iter.Scan(&name, &value) && strings.HasPrefix(name, from) {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if err := visit(name, value); err != nil {
			_ = iter.Close() // the visitor's error is what counts
			return err
		}
	}
	if err := iter.Close(); err != nil {
		return failure(err, "read the settled facts")
	}
	return nil
}
