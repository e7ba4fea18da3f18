package pebble

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/skerryhq/skerry/journal"
)

// Pebble ends the replay of the newest write-ahead log at the first chunk it
// cannot read, and calls that the torn end that a crash leaves. Its sync
// offsets prove otherwise only for damage that lies a whole block and more
// before the end, so a flipped bit could cost acknowledged records silently.
//
// Therefore each batch of ours carries a mark: the sequence number of the
// newest batch that was durable when it was written. Before Pebble replays
// the file, we read it: damage that is followed by a mark of a batch that the
// damage took away is corruption; damage that is not is a torn end.
//
// What no mark follows cannot be told from a torn end: damage to the last
// batch before a crash, or a file cut off by somebody. Against the latter,
// after a clean end, see marks.go.

// checkLogs looks at the newest write-ahead log, if there is one.
func (j *Journal) checkLogs() error {
	names, err := j.cfg.FS.List(j.cfg.Dir)
	if err != nil {
		return fmt.Errorf("journal/pebble: list %s: %w", j.cfg.Dir, err)
	}
	name, number := newestLog(names)
	if name == "" {
		return nil
	}
	path := j.cfg.FS.PathJoin(j.cfg.Dir, name)
	data, err := j.readFile(path)
	if err != nil {
		return fmt.Errorf("journal/pebble: read %s: %w", path, err)
	}
	log := walFile{data: data, number: uint32(number)}
	torn, err := log.check()
	if err != nil {
		return fmt.Errorf("journal/pebble: %s: %w", path, err)
	}
	if torn >= 0 {
		j.cfg.Logger.Info("journal: the newest log has an unclean end, as after a crash; it is read up to there", "path", path, "offset", torn)
	}
	return nil
}

// newestLog returns the newest of Pebble's log files.
func newestLog(names []string) (newest string, number uint64) {
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, ".log")
		if !ok {
			continue
		}
		if n, err := strconv.ParseUint(digits, 10, 64); err == nil && n >= number {
			newest, number = name, n
		}
	}
	return newest, number
}

func (j *Journal) readFile(path string) ([]byte, error) {
	file, err := j.cfg.FS.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(file)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return data, err
}

// walFile is a write-ahead log in Pebble's format: blocks of chunks, a batch
// being one or more chunks.
type walFile struct {
	data   []byte
	number uint32
}

const (
	walBlock = 32 << 10

	// A chunk's header: checksum, length, encoding, log number, and in the
	// newer encodings the offset that was synced.
	chunkPlain  = 4 + 2 + 1 + 4
	chunkSynced = chunkPlain + 8

	// batchHeader is sequence number and count.
	batchHeader = 8 + 4
)

// chunkPlace is a chunk's place in its batch.
type chunkPlace int

const (
	chunkFull chunkPlace = iota
	chunkFirst
	chunkMiddle
	chunkLast
)

// chunk is one valid chunk of the file.
type chunk struct {
	place   chunkPlace
	payload []byte
	end     int // where the next chunk begins
}

// chunkAt reads the chunk that begins at an offset; false if there is no valid
// one of this log.
func (w walFile) chunkAt(at int) (c chunk, ok bool) {
	block := w.data[at:min(len(w.data), (at/walBlock+1)*walBlock)]
	if len(block) < chunkPlain {
		return c, false
	}
	encoding := int(block[6])
	header := chunkPlain
	switch {
	case encoding >= 5 && encoding <= 8:
		c.place = chunkPlace(encoding - 5)
	case encoding >= 9 && encoding <= 12:
		c.place, header = chunkPlace(encoding-9), chunkSynced
	default:
		return c, false
	}
	end := header + int(binary.LittleEndian.Uint16(block[4:]))
	if end > len(block) || binary.LittleEndian.Uint32(block[7:]) != w.number {
		return c, false
	}
	if maskedChecksum(block[6:end]) != binary.LittleEndian.Uint32(block) {
		return c, false
	}
	c.payload, c.end = block[header:end], at+end
	return c, true
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedChecksum is the checksum of LevelDB's log format.
func maskedChecksum(b []byte) uint32 {
	sum := crc32.Checksum(b, castagnoli)
	return (sum>>15 | sum<<17) + 0xa282ead8
}

// next returns where the chunk behind an offset begins: a block's rest that is
// too small for a chunk is padding, as is one of zeros that is too small for
// one with a sync offset.
func (w walFile) next(at int) int {
	left := walBlock - at%walBlock
	padding := w.data[at:min(len(w.data), at+left)]
	if left < chunkPlain || left < chunkSynced && len(bytes.Trim(padding, "\x00")) == 0 {
		return min(len(w.data), at+left)
	}
	return at
}

// batchAt reads the batch that begins at an offset. end is where it ends, or
// where it stops being readable.
func (w walFile) batchAt(at int) (batch []byte, end int, ok bool) {
	for first := true; ; first = false {
		if at = w.next(at); at >= len(w.data) {
			return batch, at, false
		}
		c, valid := w.chunkAt(at)
		if !valid || first != (c.place == chunkFull || c.place == chunkFirst) {
			return batch, at, false
		}
		batch, at = append(batch, c.payload...), c.end
		if c.place == chunkFull || c.place == chunkLast {
			return batch, at, true
		}
	}
}

// check reads the log. It returns where an unclean end begins, negative if
// the end is clean, or an error if acknowledged batches are damaged.
func (w walFile) check() (torn int, err error) {
	next := uint64(0) // the sequence number behind the last readable batch
	at := 0
	for {
		batch, end, ok := w.batchAt(at)
		if !ok {
			at = end
			break
		}
		if len(batch) < batchHeader {
			return 0, fmt.Errorf("%w: a batch of %d bytes at offset %d", journal.ErrCorrupt, len(batch), at)
		}
		next = max(next, binary.LittleEndian.Uint64(batch)+uint64(binary.LittleEndian.Uint32(batch[8:])))
		at = end
	}
	if at >= len(w.data) || w.trailerAt(at) {
		return -1, nil
	}
	if mark, found := w.markBehind(at, next); found {
		return 0, fmt.Errorf("%w: damaged at offset %d: the batches from sequence number %d to %d were acknowledged and cannot be read: restore a copy",
			journal.ErrCorrupt, at, next, mark)
	}
	return at, nil
}

// trailerAt tells whether the log was ended by its writer: with the header of an
// empty chunk of the log number that follows, which has no checksum.
func (w walFile) trailerAt(at int) bool {
	trailer := make([]byte, chunkPlain)
	trailer[6] = 5 // a full chunk without a sync offset
	binary.LittleEndian.PutUint32(trailer[7:], w.number+1)
	return bytes.HasPrefix(w.data[at:], trailer)
}

// markBehind looks for a readable batch behind an offset whose mark tells that
// the batch of sequence number next, or a later one, was durable.
func (w walFile) markBehind(at int, next uint64) (mark uint64, found bool) {
	for i := at + 1; i < len(w.data); i++ {
		if i%walBlock == 0 && bytes.Equal(w.data[i:min(len(w.data), i+walBlock)], zeros[:min(len(w.data)-i, walBlock)]) {
			i += walBlock - 1
			continue
		}
		if c, ok := w.chunkAt(i); !ok || c.place != chunkFull && c.place != chunkFirst {
			continue
		}
		batch, _, _ := w.batchAt(i) // its beginning suffices
		if mark, ok := readMark(batch); ok && mark >= next {
			return mark, true
		}
	}
	return 0, false
}

var zeros [walBlock]byte

// readMark returns the mark that begins a batch of ours.
func readMark(batch []byte) (uint64, bool) {
	if len(batch) < batchHeader {
		return 0, false
	}
	head := append([]byte{byte(pebble.InternalKeyKindLogData)}, byte(markSize))
	rest, ok := bytes.CutPrefix(batch[batchHeader:], append(head, markMagic...))
	if !ok || len(rest) < 8 {
		return 0, false
	}
	return binary.LittleEndian.Uint64(rest), true
}
