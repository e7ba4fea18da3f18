package transport

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"time"
)

// wire is the medium of real connections: frames of skerry.wire.v1 on a stream of bytes.
type wire struct {
	cfg *Config
	raw net.Conn
	// by is what this side proved itself by, and judged the other; nil without TLS.
	by *credentials
	// verdict is what was found of the other by newer ones, judged; for the watcher of the files only.
	judged  *credentials
	verdict error
	// buf and scratch are the sender's.
	buf, scratch []byte
}

func (w *wire) close() { _ = w.raw.Close() }

// chain is the certificate that the peer showed, with those between it and the authority.
func (w *wire) chain() []*x509.Certificate {
	if c, ok := w.raw.(*tls.Conn); ok {
		return c.ConnectionState().PeerCertificates
	}
	return nil
}

// send implements medium: one write for a frame of each sort, or for an empty one.
func (w *wire) send(b *batch) error {
	w.buf = w.buf[:0]
	if len(b.calls) > 0 || b.empty() {
		at := w.begin()
		for _, k := range b.calls {
			w.scratch = appendEnvelope(w.scratch[:0], k.number, k.deadline.Sub(b.now), k.envelope)
			w.buf = appendBytes(w.buf, frameEnvelopes, w.scratch)
		}
		w.buf = appendBool(w.buf, frameGoodbye, b.goodbye)
		w.finish(at)
	}
	if len(b.answers) > 0 {
		at := w.begin()
		for i := range b.answers {
			w.scratch = appendAnswer(w.scratch[:0], b.answers[i].number, &b.answers[i].Answer)
			w.buf = appendBytes(w.buf, frameAnswers, w.scratch)
		}
		w.finish(at)
	}
	if len(b.parts) > 0 {
		at := w.begin()
		for i := range b.parts {
			w.scratch = appendPart(w.scratch[:0], &b.parts[i])
			w.buf = appendBytes(w.buf, frameParts, w.scratch)
		}
		w.finish(at)
	}
	return w.write()
}

func (w *wire) begin() (at int) {
	w.buf = append(w.buf, 0, 0, 0, 0)
	return len(w.buf) - frameHeader
}

func (w *wire) finish(at int) {
	binary.BigEndian.PutUint32(w.buf[at:], uint32(len(w.buf)-at-frameHeader)) //nolint:gosec // far below
}

func (w *wire) write() error {
	_ = w.raw.SetWriteDeadline(time.Now().Add(w.cfg.FrameTimeout))
	_, err := w.raw.Write(w.buf)
	if cap(w.buf) > maxKeptBytes {
		w.buf = nil
	}
	if cap(w.scratch) > maxKeptBytes {
		w.scratch = nil
	}
	return err
}

// receive implements medium.
func (w *wire) receive(t taker) error {
	f := frameReader{r: bufio.NewReaderSize(w.raw, readBytes), limit: frameLimit(w.cfg.MaxMessageBytes)}
	known := names{}
	for {
		body, err := w.next(&f, t)
		if err != nil {
			return err
		}
		if err := parseFrame(body, known, t); err != nil {
			return err
		}
	}
}

// next gives the peer some time to begin a frame, and another one to complete it.
func (w *wire) next(f *frameReader, t taker) ([]byte, error) {
	if !f.arrived(frameHeader) {
		if err := w.await(f, t); err != nil {
			return nil, err
		}
	}
	n, err := f.length()
	if err != nil {
		return nil, err
	}
	if !f.arrived(n) {
		_ = w.raw.SetReadDeadline(time.Now().Add(w.cfg.FrameTimeout))
	}
	return f.body(n)
}

// await waits for the beginning of a frame. What of it has come stays in the reader's buffer.
func (w *wire) await(f *frameReader, t taker) error {
	for s := w.cfg.listen(time.Now()); ; {
		_ = w.raw.SetReadDeadline(s.next)
		_, err := f.r.Peek(frameHeader)
		if !errors.Is(err, os.ErrDeadlineExceeded) || s.dead(time.Now(), t) {
			return err
		}
	}
}
