package cassandra

import (
	"context"
	"math/rand/v2"

	"github.com/skerryhq/skerry/journal"
)

const (
	insertSnapshot  = "INSERT INTO snapshots (type, id, entry, body) VALUES (?, ?, ?, ?)"
	selectSnapshots = "SELECT entry, body FROM snapshots WHERE type = ? AND id = ? LIMIT ?"
	selectKept      = "SELECT entry FROM snapshots WHERE type = ? AND id = ? LIMIT ?"
	deleteOlder     = "DELETE FROM snapshots WHERE type = ? AND id = ? AND entry < ?"
)

func entityKey(of journal.Entity) []byte { return compositeKey([]byte(of.Type), []byte(of.ID)) }

// SaveSnapshot implements journal.Store.
func (j *Journal) SaveSnapshot(ctx context.Context, s journal.Snapshot) error {
	if err := s.Of.Check(); err != nil {
		return err
	}
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.calls.Done()
	body := s.Body
	if body == nil {
		body = []byte{} // null would be a tombstone
	}
	key := entityKey(s.Of)
	err := j.query(ctx, insertSnapshot, []byte(s.Of.Type), []byte(s.Of.ID), int64(s.Entry), body).
		RoutingKey(key).WithTimestamp(j.stamp()).Exec()
	if err == nil && mayDrop(len(body)) {
		err = j.dropSnapshots(ctx, s.Of, key)
	}
	if err != nil {
		return failure(err, "save a snapshot of %s %q", s.Of.Type, s.Of.ID)
	}
	return nil
}

// Looking for older snapshots and removing them costs more than it takes to save
// a small one. So small ones are looked after now and then only: of
// an entity there are dropEvery too many, on average.
const (
	dropEvery     = 8
	smallSnapshot = 8 << 10
)

// mayDrop decides by chance, not by a count: many entities may take turns.
func mayDrop(size int) bool { return size > smallSnapshot || rand.IntN(dropEvery) == 0 } //nolint:gosec // no secret

// dropSnapshots removes those older than the newest ones.
func (j *Journal) dropSnapshots(ctx context.Context, of journal.Entity, key []byte) error {
	const enough = journal.KeptSnapshots + 1
	iter := j.query(ctx, selectKept, []byte(of.Type), []byte(of.ID), enough).RoutingKey(key).Iter()
	var entries []int64
	var entry int64
	for iter.Scan(&entry) {
		entries = append(entries, entry)
	}
	if err := iter.Close(); err != nil || len(entries) < enough {
		return err
	}
	oldest := entries[journal.KeptSnapshots-1]
	return j.query(ctx, deleteOlder, []byte(of.Type), []byte(of.ID), oldest).RoutingKey(key).WithTimestamp(j.stamp()).Exec()
}

// Snapshots implements journal.Store.
func (j *Journal) Snapshots(ctx context.Context, of journal.Entity) ([]journal.Snapshot, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.calls.Done()
	var found []journal.Snapshot
	err := again(ctx, func() error {
		found = nil
		iter := j.query(ctx, selectSnapshots, []byte(of.Type), []byte(of.ID), journal.KeptSnapshots).RoutingKey(entityKey(of)).Iter()
		var entry int64
		var body []byte
		for iter.Scan(&entry, &body) {
			found = append(found, journal.Snapshot{Of: of, Entry: uint64(entry), Body: body})
			body = nil
		}
		return iter.Close()
	})
	if err != nil {
		return nil, failure(err, "read snapshots of %s %q", of.Type, of.ID)
	}
	return found, nil
}
