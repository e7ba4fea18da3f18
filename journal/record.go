package journal

import (
	"crypto/rand"
	"fmt"
	"hash/crc32"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

// Record is one slot of a shard's log, as it is stored.
type Record struct {
	Header
	// Body is a skerry.log.v1.Record, header included.
	Body []byte
}

// Header tells what a record is without reading its entries.
type Header struct {
	// Number is the record's position in the shard's log, dense from 1.
	Number uint64
	// Epoch is raised by one with each claim and never falls.
	Epoch uint64
	// Writer is the incarnation of the node that wrote the record.
	Writer string
	// Batch tells this append from any other for the same slot.
	Batch Batch
	// Claim tells that the record takes ownership and carries no entries.
	Claim bool
	// Time is the shard's time in Unix nanoseconds.
	Time int64
	// FirstOffset is the offset of the record's first event, dense per shard from 1.
	// The next record's is FirstOffset + Events.
	FirstOffset uint64
	Events      uint64
	// Flushed is the record up to which pages and timer index are complete.
	Flushed uint64
	// TimersFromHour: no timer armed in this record or before it is pending before this Unix hour.
	TimersFromHour int64
	// SetsTime tells that a claim may set the shard's time back to Time.
	SetsTime bool
	// Checksum is the CRC-32C of the encoded entries.
	Checksum uint32
	// Behind names the entities whose pages are not complete up to Flushed, as EncodeBehind returns it; empty if
	// there are none. It is a string so that headers compare.
	Behind string
}

// NextOffset is the offset that the first event after the record gets.
func (h Header) NextOffset() uint64 {
	if h.Number == 0 {
		return 1
	}
	return h.FirstOffset + h.Events
}

// Batch is 16 random bytes that identify one append.
type Batch [16]byte

// NewBatch returns a batch id that no other append has.
func NewBatch() (b Batch) {
	_, _ = rand.Read(b[:]) // never fails
	return b
}

// Field numbers of skerry.log.v1.Record and Header. The hot path writes them
// by hand: an entry is encoded once, by its entity's actor, and copied from then
// on. A test holds this file against the generated code.
const (
	recordHeader  = 1
	recordEntries = 2

	headerNumber      = 1
	headerEpoch       = 2
	headerWriter      = 3
	headerBatch       = 4
	headerClaim       = 5
	headerTime        = 6
	headerFirstOffset = 7
	headerEvents      = 8
	headerFlushed     = 9
	headerTimersFrom  = 10
	headerSetsTime    = 11
	headerChecksum    = 12
	headerBehind      = 13
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// NewRecord builds the record with the given header and encoded entries
// (each a skerry.log.v1.Entry), and sets the header's checksum.
func NewRecord(h Header, entries [][]byte) Record {
	size := 0
	for _, e := range entries {
		size += EntrySize(len(e))
	}
	// The entries are laid down first, behind room for the header, so that
	// they are copied once.
	const room = 160
	front := room + len(h.Writer) + len(h.Behind)
	buf := make([]byte, front, front+size)
	body := buf
	for _, e := range entries {
		body = protowire.AppendTag(body, recordEntries, protowire.BytesType)
		body = protowire.AppendBytes(body, e)
	}
	start := len(buf)
	h.Checksum = crc32.Checksum(body[start:], castagnoli)

	var headerRoom [room + 64]byte
	header := h.appendTo(headerRoom[:0])
	var leadRoom [16]byte
	lead := protowire.AppendTag(leadRoom[:0], recordHeader, protowire.BytesType)
	lead = protowire.AppendVarint(lead, uint64(len(header)))
	first := start - len(header) - len(lead)
	if first < 0 {
		panic(fmt.Sprintf("journal: header of %d bytes: more than was thought possible", len(header)))
	}
	copy(body[first:], lead)
	copy(body[start-len(header):start], header)
	return Record{Header: h, Body: body[first:]}
}

// EntrySize is what an entry of n bytes adds to a record's body.
func EntrySize(n int) int {
	return protowire.SizeTag(recordEntries) + protowire.SizeBytes(n)
}

func (h Header) appendTo(b []byte) []byte {
	b = appendUint(b, headerNumber, h.Number)
	b = appendUint(b, headerEpoch, h.Epoch)
	if h.Writer != "" {
		b = protowire.AppendTag(b, headerWriter, protowire.BytesType)
		b = protowire.AppendString(b, h.Writer)
	}
	b = protowire.AppendTag(b, headerBatch, protowire.BytesType)
	b = protowire.AppendBytes(b, h.Batch[:])
	b = appendBool(b, headerClaim, h.Claim)
	b = appendUint(b, headerTime, uint64(h.Time))
	b = appendUint(b, headerFirstOffset, h.FirstOffset)
	b = appendUint(b, headerEvents, h.Events)
	b = appendUint(b, headerFlushed, h.Flushed)
	b = appendUint(b, headerTimersFrom, uint64(h.TimersFromHour))
	b = appendBool(b, headerSetsTime, h.SetsTime)
	if h.Checksum != 0 {
		b = protowire.AppendTag(b, headerChecksum, protowire.Fixed32Type)
		b = protowire.AppendFixed32(b, h.Checksum)
	}
	if h.Behind != "" {
		b = protowire.AppendTag(b, headerBehind, protowire.BytesType)
		b = protowire.AppendString(b, h.Behind)
	}
	return b
}

func appendUint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.VarintType)
	return protowire.AppendVarint(b, v)
}

func appendBool(b []byte, field protowire.Number, v bool) []byte {
	if !v {
		return b
	}
	return appendUint(b, field, 1)
}

// ParseRecord reads the header of a stored body and checks the entries'
// checksum. The record keeps body.
func ParseRecord(body []byte) (Record, error) {
	header, entries, err := Record{Body: body}.Split()
	if err != nil {
		return Record{}, err
	}
	h, err := ParseHeader(header)
	if err != nil {
		return Record{}, err
	}
	if sum := crc32.Checksum(entries, castagnoli); sum != h.Checksum {
		return Record{}, fmt.Errorf("%w: record %d: checksum of its entries is %08x, its header says %08x", ErrCorrupt, h.Number, sum, h.Checksum)
	}
	return Record{Header: h, Body: body}, nil
}

// Split returns the two parts of the body, for journals that keep them apart: the
// encoded header, which ParseHeader reads, and the entries. Together they are the body.
func (r Record) Split() (header, entries []byte, err error) {
	tag, typ, n := protowire.ConsumeTag(r.Body)
	if n < 0 || tag != recordHeader || typ != protowire.BytesType {
		return nil, nil, fmt.Errorf("%w: a record without a header", ErrCorrupt)
	}
	_, m := protowire.ConsumeBytes(r.Body[n:])
	if m < 0 {
		return nil, nil, fmt.Errorf("%w: a record with a cut header", ErrCorrupt)
	}
	return r.Body[:n+m], r.Body[n+m:], nil
}

// ParseHeader reads the first part of a record's body, as Split returns it.
func ParseHeader(header []byte) (Header, error) {
	head, entries, err := Record{Body: header}.Split()
	if err != nil {
		return Header{}, err
	}
	if len(entries) != 0 {
		return Header{}, fmt.Errorf("%w: %d bytes behind a header", ErrCorrupt, len(entries))
	}
	_, _, n := protowire.ConsumeTag(head)
	encoded, _ := protowire.ConsumeBytes(head[n:])
	return parseHeader(encoded)
}

func parseHeader(b []byte) (Header, error) {
	var pb logv1.Header
	if err := proto.Unmarshal(b, &pb); err != nil {
		return Header{}, fmt.Errorf("%w: a record's header: %w", ErrCorrupt, err)
	}
	h := Header{
		Number: pb.GetNumber(), Epoch: pb.GetEpoch(), Writer: pb.GetWriter(), Claim: pb.GetClaim(),
		Time: pb.GetTimeNs(), FirstOffset: pb.GetFirstOffset(), Events: pb.GetEvents(), Flushed: pb.GetFlushed(),
		TimersFromHour: pb.GetTimersFromHour(), SetsTime: pb.GetSetsTime(), Checksum: pb.GetChecksum(),
		Behind: string(pb.GetBehind()),
	}
	if len(pb.GetBatch()) != len(h.Batch) {
		return Header{}, fmt.Errorf("%w: record %d: a batch id of %d bytes", ErrCorrupt, h.Number, len(pb.GetBatch()))
	}
	copy(h.Batch[:], pb.GetBatch())
	return h, nil
}

// EachEntry calls visit with each encoded entry of the record, in order. The
// bytes belong to the record.
func (r Record) EachEntry(visit func(entry []byte) error) error {
	for b := r.Body; len(b) > 0; {
		tag, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: record %d: %w", ErrCorrupt, r.Number, protowire.ParseError(n))
		}
		b = b[n:]
		if tag != recordEntries || typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(tag, typ, b); n < 0 {
				return fmt.Errorf("%w: record %d: %w", ErrCorrupt, r.Number, protowire.ParseError(n))
			}
			b = b[n:]
			continue
		}
		entry, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return fmt.Errorf("%w: record %d: %w", ErrCorrupt, r.Number, protowire.ParseError(n))
		}
		if err := visit(entry); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
