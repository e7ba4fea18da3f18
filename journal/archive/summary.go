package archive

import (
	"context"
	"errors"
	"fmt"

	"github.com/skerryhq/skerry/journal"
)

// Summary is what Export or Import did.
type Summary struct {
	Archive string `json:"archive"`
	// History is that of the journal that was read or made.
	History string `json:"history"`
	Shards  int    `json:"shards"`
	// Records, Events and Bytes are those of the whole archive; Bytes is that of its files.
	Records uint64 `json:"records"`
	Events  uint64 `json:"events"`
	Bytes   int64  `json:"bytes"`
	// Resumed is how many of the records were there before this call.
	Resumed uint64 `json:"resumed"`
}

func (s *Summary) add(f fileEntry) {
	s.Shards++
	s.Records += f.Records
	s.Events += f.Events
	s.Bytes += f.Bytes
}

// Progress hears how many records are done, of about how many. It is called by one goroutine at a time
// and must return soon. Nil is allowed.
type Progress func(done, total uint64)

func (p Progress) tell(done, total uint64) {
	if p != nil {
		p(done, max(done, total))
	}
}

// ErrNoService is wrapped when a journal holds nothing that could be exported or checked.
var ErrNoService = errors.New("archive: the journal is of no service")

// serviceOf reads the facts of a journal that a host has used.
func serviceOf(ctx context.Context, j journal.Journal) (service, error) {
	s, err := readService(func(visit func(name, value string) error) error { return j.Settled(ctx, "", visit) })
	if err != nil {
		return s, fmt.Errorf("archive: read the settled facts: %w", err)
	}
	if s.shards == 0 || s.history == "" {
		return s, fmt.Errorf("%w: no host was ever started on it: name another journal", ErrNoService)
	}
	return s, nil
}

// heads reads the head of each shard.
func heads(ctx context.Context, j journal.Journal, shards int) (all []journal.Head, records uint64, err error) {
	for i := range shards {
		head, err := j.Head(ctx, uint32(i))
		if err != nil {
			return nil, 0, fmt.Errorf("archive: read the head of shard %d: %w", i, err)
		}
		all = append(all, head)
		records += head.Last.Number
	}
	return all, records, nil
}

// readBytes is how much of a log is read at a time.
const readBytes = 1 << 20
