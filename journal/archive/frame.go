package archive

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// magic begins each shard's file and tells the format's version.
const magic = "skerry-archive-1\n"

const (
	kindHeader = 'h'
	kindRecord = 'r'
	kindEnd    = 'e'

	frameHead = 1 + 4 + 4
	// maxFrame limits what a damaged length can make us allocate. Journals limit a record to a few MiB.
	maxFrame = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frameSum is the checksum of a frame whose first five bytes are lead.
func frameSum(lead, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(lead, castagnoli), castagnoli, body)
}

// writeFrame writes one frame.
func writeFrame(w io.Writer, kind byte, body []byte) error {
	if len(body) > maxFrame {
		return fmt.Errorf("a frame of %d bytes: at most %d are allowed", len(body), maxFrame)
	}
	lead := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)))
	head := binary.BigEndian.AppendUint32(lead, frameSum(lead, body))
	if _, err := w.Write(head); err != nil {
		return err
	}
	_, err := w.Write(body)
	return err
}

// readFrame reads one frame. io.EOF means that there is not even one byte of it.
func readFrame(r *bufio.Reader) (kind byte, body []byte, err error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, cutShort(err)
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxFrame {
		return 0, nil, fmt.Errorf("%w: a frame of %d bytes", ErrDamaged, n)
	}
	body = make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, cutShort(err)
	}
	if sum := binary.BigEndian.Uint32(head[5:]); sum != frameSum(head[:5], body) {
		return 0, nil, fmt.Errorf("%w: a frame does not match its checksum", ErrDamaged)
	}
	return head[0], body, nil
}

// cutShort tells a cut file from a disk that cannot be read.
func cutShort(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the file ends within a frame", ErrDamaged)
	}
	return err
}
