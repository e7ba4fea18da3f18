package pebble

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/skerryhq/skerry/journal"
)

// checkedTail is how many records at the end of each log are read and checked
// when the journal is opened. Reads check what they read.
const checkedTail = 4

// readHeads finds the end of every log and checks that it is dense.
func readHeads(h *handle) (map[uint32]journal.Head, error) {
	heads := map[uint32]journal.Head{}
	iter, err := h.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kindFlushed}, UpperBound: []byte{kindLog + 1}})
	if err != nil {
		return nil, asCorrupt(err)
	}
	defer func() { _ = iter.Close() }()
	for valid := iter.First(); valid && iter.Key()[0] == kindFlushed; valid = iter.Next() {
		if len(iter.Key()) != 5 || len(iter.Value()) != 8 {
			return nil, fmt.Errorf("%w: flushed position %x = %x", journal.ErrCorrupt, iter.Key(), iter.Value())
		}
		heads[binary.BigEndian.Uint32(iter.Key()[1:])] = journal.Head{Flushed: binary.BigEndian.Uint64(iter.Value())}
	}
	for valid := iter.SeekGE([]byte{kindLog}); valid; {
		shard, _, err := parseLogKey(iter.Key())
		if err != nil {
			return nil, err
		}
		last, err := checkTail(iter, shard)
		if err != nil {
			return nil, err
		}
		heads[shard] = journal.Head{Last: last, Flushed: max(heads[shard].Flushed, last.Flushed)}
		valid = shard < ^uint32(0) && iter.SeekGE(logKey(shard+1, 0))
	}
	return heads, asCorrupt(iter.Error())
}

// checkTail checks the first and the newest records of a shard's log and
// returns the header of the newest.
func checkTail(iter *pebble.Iterator, shard uint32) (last journal.Header, err error) {
	if _, first, err := parseLogKey(iter.Key()); err != nil || first != 1 {
		return last, fmt.Errorf("%w: shard %d: the log begins with record %d", journal.ErrCorrupt, shard, first)
	}
	next := uint64(0) // the record behind the one being read
	valid := iter.SeekLT(append(logKey(shard, ^uint64(0)), 0))
	for n := 0; n < checkedTail && valid; n++ {
		_, slot, err := parseLogKey(iter.Key())
		if err != nil {
			return last, err
		}
		value, err := iter.ValueAndErr()
		if err != nil {
			return last, asCorrupt(err)
		}
		rec, err := parseSlot(shard, slot, append([]byte{}, value...))
		if err != nil {
			return last, err
		}
		if n == 0 {
			last = rec.Header
		} else if slot+1 != next {
			return last, fmt.Errorf("%w: shard %d: record %d is missing", journal.ErrCorrupt, shard, next-1)
		}
		if next = slot; slot == 1 {
			return last, nil
		}
		valid = iter.Prev() && iter.Key()[0] == kindLog
	}
	if !valid {
		return last, fmt.Errorf("%w: shard %d: record %d is missing", journal.ErrCorrupt, shard, next-1)
	}
	return last, asCorrupt(iter.Error())
}
