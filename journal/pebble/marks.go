package pebble

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/skerryhq/skerry/journal"
)

// The marks are a small file beside Pebble's: how far each log reached when
// the journal was last opened or closed. Logs only grow, so a log that ends
// before its mark has lost records: a file was cut, an old one copied back.
// Pebble itself would not notice when the newest part of its manifest or of its
// write-ahead log is gone.
const (
	marksName  = "skerry.heads"
	marksTitle = "skerry heads 1\n"
)

// renewMarks saves the marks if it can: older ones are still true.
func (j *Journal) renewMarks() {
	if err := j.saveMarks(); err != nil {
		j.cfg.Logger.Warn("journal: the marks of the logs' ends are not renewed", "cause", err.Error())
	}
}

// saveMarks writes the marks; the old ones stay until the new are durable.
func (j *Journal) saveMarks() error {
	path := j.cfg.FS.PathJoin(j.cfg.Dir, marksName)
	if err := j.writeMarks(path, j.encodeMarks()); err != nil {
		return fmt.Errorf("journal/pebble: write %s: %w", path, err)
	}
	return nil
}

func (j *Journal) encodeMarks() []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	var numbers []uint32
	for number, s := range j.shards {
		if s.synced.Number > 0 {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	text := []byte(marksTitle)
	for _, number := range numbers {
		text = fmt.Appendf(text, "%d %d\n", number, j.shards[number].synced.Number)
	}
	return fmt.Appendf(text, "%08x\n", crc32.Checksum(text, castagnoli))
}

func (j *Journal) writeMarks(path string, text []byte) error {
	fs, fresh := j.cfg.FS, path+".new"
	file, err := fs.Create(fresh, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := fs.Rename(fresh, path); err != nil {
		return err
	}
	dir, err := fs.OpenDir(j.cfg.Dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// checkMarks holds what was found against the marks.
func (j *Journal) checkMarks(heads map[uint32]journal.Head) error {
	path := j.cfg.FS.PathJoin(j.cfg.Dir, marksName)
	text, err := j.readFile(path)
	if errors.Is(err, os.ErrNotExist) {
		if len(heads) > 0 { // they are made before the first record is taken
			j.cfg.Logger.Warn("journal: the marks of the logs' ends are missing: whether files were cut cannot be told; restore a copy if records should be there", "path", path)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("journal/pebble: read %s: %w", path, err)
	}
	marks, err := parseMarks(text)
	if err != nil {
		return fmt.Errorf("journal/pebble: %s: %w", path, err)
	}
	for number, mark := range marks {
		if end := heads[number].Last.Number; end < mark {
			return fmt.Errorf("%w: %s: shard %d ends with record %d, it had reached %d: files are cut, missing or old: restore a copy",
				journal.ErrCorrupt, j.cfg.Dir, number, end, mark)
		}
	}
	return nil
}

func parseMarks(text []byte) (map[uint32]uint64, error) {
	bad := fmt.Errorf("%w: the marks do not match their checksum: restore the file from a copy", journal.ErrCorrupt)
	const sumSize = 8 + 1
	if len(text) < len(marksTitle)+sumSize {
		return nil, bad
	}
	body, sum := text[:len(text)-sumSize], text[len(text)-sumSize:]
	if string(sum) != fmt.Sprintf("%08x\n", crc32.Checksum(body, castagnoli)) {
		return nil, bad
	}
	rest, ok := bytes.CutPrefix(body, []byte(marksTitle))
	if !ok {
		return nil, fmt.Errorf("%w: title %.20q of the marks", journal.ErrFormat, body)
	}
	marks := map[uint32]uint64{}
	for line := range bytes.Lines(rest) {
		var shard uint32
		var number uint64
		if _, err := fmt.Sscanf(string(line), "%d %d\n", &shard, &number); err != nil {
			return nil, bad
		}
		marks[shard] = number
	}
	return marks, nil
}
