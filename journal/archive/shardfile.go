package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/skerryhq/skerry/journal"
)

// identity is the header of a shard's file.
type identity struct {
	Archive string `json:"archive"`
	History string `json:"history"`
	Shards  int    `json:"shards"`
	Shard   int    `json:"shard"`
}

func fileName(shard int) string { return fmt.Sprintf("shard-%05d.records", shard) }

// contents is what is known of a shard's records, from one end to the other.
type contents struct {
	chain   chain
	largest int // bytes
}

func (c *contents) take(rec journal.Record) error {
	c.largest = max(c.largest, len(rec.Body))
	return c.chain.follow(rec.Header)
}

// reader reads a shard's file and checks all that it says. It is used by one goroutine.
type reader struct {
	file *os.File
	buf  *bufio.Reader
	sum  hash.Hash
	// whole is the file's size up to the end of the last whole frame that is no footer.
	whole int64
	identity
	contents
	// complete tells that the footer was read; digest is what it says.
	complete bool
	digest   [sha256.Size]byte
}

// openFile reads the header of a shard's file. The caller closes it.
func openFile(path string) (*reader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r := &reader{file: file, buf: bufio.NewReaderSize(file, 256<<10), sum: sha256.New()}
	if err := r.readHeader(); err != nil {
		_ = file.Close() // only read
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func (r *reader) close() error { return r.file.Close() }

func (r *reader) readHeader() error {
	title := make([]byte, len(magic))
	if _, err := io.ReadFull(r.buf, title); err != nil {
		return fmt.Errorf("%w: the file has no header", ErrDamaged)
	}
	if string(title) != magic {
		if bytes.HasPrefix(title, []byte("skerry-archive-")) {
			return fmt.Errorf("%w: its title is %q", ErrFormat, bytes.TrimSpace(title))
		}
		return fmt.Errorf("%w: this is no file of an archive", ErrDamaged)
	}
	kind, body, err := readFrame(r.buf)
	if err != nil || kind != kindHeader {
		return fmt.Errorf("%w: the file has no header", ErrDamaged)
	}
	if err := json.Unmarshal(body, &r.identity); err != nil {
		return fmt.Errorf("%w: its header: %w", ErrDamaged, err)
	}
	_, _ = r.sum.Write(title) // a hash never fails
	r.took(kindHeader, body)
	r.whole += int64(len(magic))
	return nil
}

// took notes a whole frame.
func (r *reader) took(kind byte, body []byte) {
	_ = writeFrame(r.sum, kind, body) // a hash never fails
	r.whole += int64(frameHead + len(body))
}

// next returns the next record, or io.EOF behind the last one of a complete file.
func (r *reader) next() (journal.Record, error) {
	kind, body, err := readFrame(r.buf)
	switch {
	case errors.Is(err, io.EOF):
		return journal.Record{}, fmt.Errorf("%w: %s ends behind record %d, without a footer", ErrDamaged, r.file.Name(), r.chain.last.Number)
	case err != nil:
		return journal.Record{}, r.at(err)
	case kind == kindEnd:
		return journal.Record{}, r.readEnd(body)
	case kind != kindRecord:
		return journal.Record{}, r.at(fmt.Errorf("%w: a frame of the unknown kind %q", ErrDamaged, kind))
	}
	rec, err := journal.ParseRecord(body)
	if err != nil {
		return journal.Record{}, r.at(fmt.Errorf("%w: %w", ErrDamaged, err))
	}
	before := r.contents
	if err := r.take(rec); err != nil {
		r.contents = before
		return journal.Record{}, r.at(fmt.Errorf("%w: %w", ErrDamaged, err))
	}
	r.took(kind, body)
	return rec, nil
}

func (r *reader) at(err error) error {
	return fmt.Errorf("%s, behind record %d: %w", r.file.Name(), r.chain.last.Number, err)
}

// readEnd checks the footer, and that nothing is behind it.
func (r *reader) readEnd(body []byte) error {
	if !bytes.Equal(body, r.footer()) {
		return r.at(fmt.Errorf("%w: the footer does not match what is before it", ErrDamaged))
	}
	if _, err := r.buf.ReadByte(); !errors.Is(err, io.EOF) {
		return r.at(fmt.Errorf("%w: there is more behind the footer", ErrDamaged))
	}
	r.complete = true
	r.sum.Sum(r.digest[:0])
	return io.EOF
}

func (r *reader) footer() []byte {
	return r.sum.Sum(binary.BigEndian.AppendUint64(nil, r.chain.last.Number))
}

// writer continues a shard's file. It is used by one goroutine.
type writer struct {
	file *os.File
	buf  *bufio.Writer
	sum  hash.Hash
	size int64
	contents
}

// createFile begins a shard's file, in place of what is there.
func createFile(path string, id identity) (*writer, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	w := &writer{file: file, buf: bufio.NewWriterSize(file, 256<<10), sum: sha256.New()}
	header, err := json.Marshal(id)
	if err == nil {
		_, err = io.WriteString(w.both(), magic)
	}
	if err == nil {
		err = w.frame(kindHeader, header)
	}
	if err != nil {
		_ = file.Close() // the first error is what counts
		return nil, err
	}
	w.size += int64(len(magic))
	return w, nil
}

// continueFile goes on where the reader found the last whole record. It takes over the file's end
// and closes the reader.
func continueFile(r *reader) (*writer, error) {
	path := r.file.Name()
	if err := r.close(); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	err = file.Truncate(r.whole)
	if err == nil {
		_, err = file.Seek(r.whole, io.SeekStart)
	}
	if err != nil {
		_ = file.Close() // the first error is what counts
		return nil, err
	}
	return &writer{file: file, buf: bufio.NewWriterSize(file, 256<<10), sum: r.sum, size: r.whole, contents: r.contents}, nil
}

func (w *writer) both() io.Writer { return io.MultiWriter(w.buf, w.sum) }

func (w *writer) frame(kind byte, body []byte) error {
	w.size += int64(frameHead + len(body))
	return writeFrame(w.both(), kind, body)
}

// add writes the next record.
func (w *writer) add(rec journal.Record) error {
	if err := w.take(rec); err != nil {
		return err
	}
	return w.frame(kindRecord, rec.Body)
}

// end writes the footer and returns when the file is durable.
func (w *writer) end() (digest [sha256.Size]byte, err error) {
	w.sum.Sum(digest[:0])
	err = w.frame(kindEnd, w.sum.Sum(binary.BigEndian.AppendUint64(nil, w.chain.last.Number)))
	if err == nil {
		err = w.buf.Flush()
	}
	if err == nil {
		err = w.file.Sync()
	}
	return digest, errors.Join(err, w.file.Close())
}

// abandon closes the file as it is: what is whole in it counts.
func (w *writer) abandon() {
	_ = w.buf.Flush() // a torn end is cut off when the export goes on
	_ = w.file.Close()
}
