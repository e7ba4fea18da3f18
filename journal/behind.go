package journal

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

// BehindError is what a Derive may fail with that wrote everything but the pages of
// some entities, as when a part of the database is sick. It promises that the timer index and all other pages of that
// Derive are written; nothing is known of those of the entities named. UpTo was not stored.
type BehindError struct {
	// Entities are those whose pages may be missing.
	Entities []Entity
	// Err is what happened.
	Err error
}

// Error implements error.
func (e *BehindError) Error() string {
	return fmt.Sprintf("the pages of %d entities were not written, of %s %q for one: %v", len(e.Entities), e.Entities[0].Type, e.Entities[0].ID, e.Err)
}

// Unwrap returns what happened.
func (e *BehindError) Unwrap() error { return e.Err }

// Late is an entity whose pages are not complete up to a header's flush position.
type Late struct {
	Of Entity
	// Record is the first with an entry that the pages do not hold.
	Record uint64
}

// EncodeBehind returns late as a header carries it.
func EncodeBehind(late []Late) string {
	if len(late) == 0 {
		return ""
	}
	pb := &logv1.Behind{}
	for _, l := range late {
		pb.Late = append(pb.Late, &logv1.Late{Type: l.Of.Type, Id: l.Of.ID, Record: l.Record})
	}
	b, err := proto.Marshal(pb)
	if err != nil {
		panic(fmt.Sprintf("journal: names that are not UTF-8: %v", err)) // hosts refuse such names
	}
	return string(b)
}

// ParseBehind reads what EncodeBehind returned.
func ParseBehind(behind string) ([]Late, error) {
	var pb logv1.Behind
	if err := proto.Unmarshal([]byte(behind), &pb); err != nil {
		return nil, fmt.Errorf("%w: a header's list of entities behind: %w", ErrCorrupt, err)
	}
	var late []Late
	for _, l := range pb.GetLate() {
		late = append(late, Late{Entity{l.GetType(), l.GetId()}, l.GetRecord()})
	}
	return late, nil
}
