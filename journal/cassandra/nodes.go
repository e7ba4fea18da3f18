package cassandra

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gocql/gocql"

	"github.com/skerryhq/skerry/journal"
)

var _ journal.Witnesses = (*Journal)(nil)

const (
	insertWitness   = "INSERT INTO nodes (part, address, incarnation, beat, body) VALUES (?, ?, ?, ?, ?) USING TTL ? AND TIMESTAMP ?"
	selectWitnesses = "SELECT address, incarnation, beat, body FROM nodes WHERE part = ?"
	selectStamp     = "SELECT WRITETIME(beat) FROM nodes WHERE part = ? AND address = ?"
)

// nodesPart is the partition of nodes: all share it, so that they are sorted and read at once.
const nodesPart = "nodes"

// witnessLife is how long a row stays that is not written again: longer than was
// promised, since the clocks of the database count it.
const witnessLife = journal.WitnessLife + 10*time.Minute

// witnessStamps gives timestamps to witnesses. What this process writes later
// wins, and all of it wins over what it found at its address, whatever the clocks say.
type witnessStamps struct {
	mu      sync.Mutex
	address string // the last one that was looked at: a process puts one, or a few
	last    int64  // in Unix microseconds
}

// knows tells whether what was stored at the address is behind the stamps to come.
func (s *witnessStamps) knows(address string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.address == address
}

func (s *witnessStamps) learn(address string, stored int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.address, s.last = address, max(s.last, stored)
}

func (s *witnessStamps) next(now time.Time) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(now.UnixMicro(), s.last+1)
	return s.last
}

// PutWitness implements journal.Witnesses.
func (j *Journal) PutWitness(ctx context.Context, w journal.Witness) error {
	if err := w.Check(); err != nil {
		return err
	}
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.calls.Done()
	if err := j.putWitness(ctx, w); err != nil {
		return failure(err, "put the witness of %s", w.Address)
	}
	return nil
}

func (j *Journal) putWitness(ctx context.Context, w journal.Witness) error {
	if !j.witnessed.knows(w.Address) {
		stored, err := j.witnessStamp(ctx, w.Address)
		if err != nil {
			return err
		}
		j.witnessed.learn(w.Address, stored)
	}
	body := w.View
	if body == nil {
		body = []byte{} // null would be a tombstone
	}
	stamp := j.witnessed.next(time.Now())
	return j.query(ctx, insertWitness, nodesPart, w.Address, w.Incarnation, int64(w.Beat), body, int(witnessLife.Seconds()), stamp).
		RoutingKey([]byte(nodesPart)).Exec()
}

// witnessStamp reads the timestamp of what is stored at an address; 0 if nothing is.
func (j *Journal) witnessStamp(ctx context.Context, address string) (stamp int64, err error) {
	err = again(ctx, func() error {
		return j.query(ctx, selectStamp, nodesPart, address).RoutingKey([]byte(nodesPart)).Scan(&stamp)
	})
	if errors.Is(err, gocql.ErrNotFound) {
		return 0, nil
	}
	return stamp, err
}

// witnessRows is how many witnesses are asked for at once: of the largest, 16 MiB.
const witnessRows = 256

// Witnesses implements journal.Witnesses.
func (j *Journal) Witnesses(ctx context.Context) ([]journal.Witness, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.calls.Done()
	var found []journal.Witness
	err := again(ctx, func() (err error) {
		found, err = scanWitnesses(j.query(ctx, selectWitnesses, nodesPart).RoutingKey([]byte(nodesPart)).PageSize(witnessRows).Iter())
		return err
	})
	if err != nil {
		return nil, failure(err, "read the witnesses")
	}
	return found, nil
}

func scanWitnesses(iter *gocql.Iter) ([]journal.Witness, error) {
	var found []journal.Witness
	var w journal.Witness
	var beat int64
	for iter.Scan(&w.Address, &w.Incarnation, &beat, &w.View) {
		w.Beat = uint64(beat)
		found = append(found, w)
		w = journal.Witness{}
	}
	return found, iter.Close()
}
