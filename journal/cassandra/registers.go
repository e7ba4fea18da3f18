package cassandra

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gocql/gocql"

	"github.com/skerryhq/skerry/journal"
)

var _ journal.Registers = (*Journal)(nil)

// registerStatements are those of one space's table.
type registerStatements struct {
	// make and change are the compare-and-set. What change is not applied to is answered with the columns
	// that it has conditions on: so it has one on each.
	make, change string
	// Both read whole rows: a read of some columns repairs those alone, and leaves half a row on a node that has missed it.
	read, some string
}

// statementsOf holds the statements of each space, at its number.
var statementsOf = [...]registerStatements{
	journal.Placement: registersIn("placement"),
	journal.Progress:  registersIn("progress"),
}

func registersIn(table string) registerStatements {
	return registerStatements{
		make:   "INSERT INTO " + table + " (part, name, revision, attempt, value) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS",
		change: "UPDATE " + table + " SET revision = ?, attempt = ?, value = ? WHERE part = ? AND name = ? IF revision = ? AND attempt != null AND value != null",
		read:   "SELECT name, revision, attempt, value FROM " + table + " WHERE part = ?",
		some:   "SELECT name, revision, attempt, value FROM " + table + " WHERE part = ? LIMIT ?",
	}
}

// registerRows is how many registers are asked for at once: of the largest, 16 MiB.
const registerRows = 256

// Registers implements journal.Registers. It reads at quorum, where a swap's commit
// is before it is answered.
func (j *Journal) Registers(ctx context.Context, space journal.Space, partition string) ([]journal.Register, error) {
	if err := space.CheckPartition(partition); err != nil {
		return nil, err
	}
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.calls.Done()
	var found []journal.Register
	read := func() (err error) {
		found, err = scanRegisters(j.query(ctx, statementsOf[space].read, partition).RoutingKey([]byte(partition)).PageSize(registerRows).Iter())
		return err
	}
	err := again(ctx, read)
	for halves := 1; errors.Is(err, errHalf) && halves <= readAttempts; halves++ {
		if err = pause(ctx, holePause<<halves); err == nil {
			err = again(ctx, read)
		}
	}
	if err != nil {
		return nil, failure(err, "read %s, partition %q", space, partition)
	}
	return found, nil
}

func scanRegisters(iter *gocql.Iter) ([]journal.Register, error) {
	var found []journal.Register
	var row registerRow
	for iter.Scan(&row.name, &row.revision, &row.attempt, &row.value) {
		r, err := row.register()
		if err != nil {
			_ = iter.Close() // what was read is worse
			return nil, err
		}
		found = append(found, r)
		row = registerRow{}
	}
	return found, iter.Close()
}

// registerRow is a row of a table of registers. Its revision may be negative:
// beyond 2^63.
type registerRow struct {
	name     string
	revision int64
	attempt  []byte
	value    []byte
}

// errHalf is a register that was seen on its way to a quorum of its nodes. Asking again shows it whole.
var errHalf = errors.New("a register is not stored whole yet")

func (row registerRow) register() (journal.Register, error) {
	r := journal.Register{Name: row.name, Revision: uint64(row.revision), Value: row.value}
	if row.attempt == nil {
		return r, fmt.Errorf("%w: %q", errHalf, row.name)
	}
	if len(row.attempt) != len(r.Attempt) || r.Revision == 0 {
		return r, fmt.Errorf("%w: register %q: revision %d, attempt %x", journal.ErrCorrupt, row.name, r.Revision, row.attempt)
	}
	copy(r.Attempt[:], row.attempt)
	return r, nil
}

// Swap implements journal.Registers. It sends the compare-and-set once.
func (j *Journal) Swap(ctx context.Context, space journal.Space, partition string, next journal.Register) (journal.Register, error) {
	if err := cmp.Or(space.CheckPartition(partition), next.Check()); err != nil {
		return journal.Register{}, err
	}
	if err := j.enter(ctx); err != nil {
		return journal.Register{}, err
	}
	defer j.calls.Done()
	now, err := j.swap(ctx, space, partition, next)
	if errors.Is(err, journal.ErrCrowded) {
		return journal.Register{}, err
	}
	if err != nil {
		return journal.Register{}, failure(err, "swap %q of %s, partition %q: the outcome is unknown", next.Name, space, partition)
	}
	return now, nil
}

func (j *Journal) swap(ctx context.Context, space journal.Space, partition string, next journal.Register) (journal.Register, error) {
	value := next.Value
	if value == nil {
		value = []byte{} // null would be a tombstone
	}
	statement := statementsOf[space].change
	values := []any{int64(next.Revision), next.Attempt[:], value, partition, next.Name, int64(next.Revision - 1)}
	if next.Revision == 1 {
		if err := j.crowded(ctx, space, partition, next.Name); err != nil {
			return journal.Register{}, err
		}
		statement = statementsOf[space].make
		values = []any{partition, next.Name, int64(1), next.Attempt[:], value}
	}
	iter := j.query(ctx, statement, values...).SerialConsistency(j.cfg.serial()).RoutingKey([]byte(partition)).NoSkipMetadata().Iter()
	return scanSwap(iter, next)
}

// crowded returns why a partition takes no more registers.
func (j *Journal) crowded(ctx context.Context, space journal.Space, partition, name string) error {
	iter := j.query(ctx, statementsOf[space].some, partition, journal.MaxRegisters).RoutingKey([]byte(partition)).PageSize(registerRows).Iter()
	var names []string
	for one := ""; iter.Scan(&one, nil, nil, nil); {
		names = append(names, one)
	}
	if err := iter.Close(); err != nil {
		return err
	}
	if len(names) < journal.MaxRegisters || slices.Contains(names, name) {
		return nil
	}
	return journal.CrowdedError(space, partition, name)
}

// scanSwap reads the answer to a swap: that it was applied, or what is stored instead. That there
// is nothing stored is answered without columns, or with empty ones.
func scanSwap(iter *gocql.Iter, next journal.Register) (journal.Register, error) {
	applied, row := false, registerRow{name: next.Name}
	into := map[string]any{"[applied]": &applied, "revision": &row.revision, "attempt": &row.attempt, "value": &row.value}
	var columns []any
	for _, column := range iter.Columns() {
		columns = append(columns, into[column.Name]) // nil: not wanted
	}
	scanned := iter.Scan(columns...)
	switch err := iter.Close(); {
	case err != nil:
		return journal.Register{}, err
	case !scanned:
		return journal.Register{}, errNoAnswer
	case applied:
		return next, nil
	case row.revision == 0 && next.Revision > 1:
		return journal.Register{Name: next.Name}, nil
	}
	return row.register()
}
