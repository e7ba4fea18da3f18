package cassandra

import (
	"context"
	"errors"
	"fmt"

	"github.com/gocql/gocql"
)

// All nodes must agree with the same replicas: where some use all and others those of one data centre, or of
// another one, two owners would both win a slot. So the first start ever settles who agrees, and does so
// among all replicas of all data centres, whatever its configuration: a start elsewhere at the
// same moment hears of it. Nothing else is agreed on before.

// serialPart is the partition of meta that holds this one fact. It is not that of the others, which
// are agreed on at the level that it names: Paxos must not mix levels in a partition.
const serialPart = "serial"

// serialFact is the name of the fact.
const serialFact = "serial"

const selectSerial = "SELECT value FROM meta WHERE part = ? AND name = ?"

// settleAttempts is how often it is tried to settle who agrees, before the check as a whole is repeated.
const settleAttempts = 10

// checkSerial refuses a node that would agree with other replicas than the others do.
func (j *Journal) checkSerial(ctx context.Context) error {
	ours := "SERIAL"
	if j.cfg.DataCenter != "" {
		ours = "LOCAL_SERIAL " + j.cfg.DataCenter
	}
	for attempt := 1; ; attempt++ {
		stored, read, err := j.agreedSerial(ctx, ours)
		switch {
		case err == nil && stored != ours:
			return fmt.Errorf("%w: keyspace %s agrees at %s, this node would at %s: set Config.DataCenter as all others have it",
				ErrSettings, j.cfg.Keyspace, stored, ours)
		case read:
			return nil
		case err == nil && attempt < settleAttempts:
			continue // it is settled; now it must be seen without the other data centres
		case err == nil:
			err = errNoAnswer
		}
		if attempt >= settleAttempts || unauthorized(err) || pause(ctx, connectFirst<<min(attempt, 5)) != nil {
			return failure(err, "settle which replicas agree (the first start of a journal needs a quorum over all data centres)")
		}
	}
}

// agreedSerial returns what is settled, and whether a plain read has shown it. From the first such read on, which
// repairs the replicas that it asks, they all do: later starts need no other data centre.
func (j *Journal) agreedSerial(ctx context.Context, ours string) (stored string, read bool, err error) {
	err = j.query(ctx, selectSerial, serialPart, serialFact).RoutingKey([]byte(serialPart)).Scan(&stored)
	if err == nil && stored != "" {
		return stored, true, nil
	}
	if err != nil && !errors.Is(err, gocql.ErrNotFound) {
		return "", false, err
	}
	stored, err = settleWith(j.query(ctx, insertFact, serialPart, serialFact, ours).
		Consistency(gocql.Quorum).SerialConsistency(gocql.Serial).RoutingKey([]byte(serialPart)), ours)
	return stored, false, err
}
