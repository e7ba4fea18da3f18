package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// Limits of how a body arrives.
const (
	// firstRoom is what a body may fill before anything of it was read. More is taken as
	// it comes, so that whoever says much and sends little keeps nobody out.
	firstRoom = 4 << 10
	// stallPatience is how long a body may make no progress.
	stallPatience = 5 * time.Second
)

// body reads a request's body within the limits of its size, of its time, and of all bodies
// together. It is used by one goroutine.
type body struct {
	gateway *gateway
	control *http.ResponseController
	from    io.ReadCloser
	// limit is how many bytes there may be, read how many came, room how many are accounted for.
	limit, read, room int64
	began, renewed    time.Time
	// explain makes an error what the reader of the body wants to see.
	explain func(error) error
}

// open takes the first room for a request's body. done is to be called when its answer is there.
func (g *gateway) open(w http.ResponseWriter, r *http.Request, limit int64) (*body, error) {
	b := &body{
		gateway: g, control: http.NewResponseController(w), from: r.Body, limit: limit,
		began: time.Now(), explain: func(err error) error { return err },
	}
	if r.ContentLength > limit {
		return nil, tooLarge(g.MaxBodyBytes)
	}
	if r.ContentLength >= 0 {
		b.limit = r.ContentLength
	}
	return b, b.grow(min(firstRoom, b.limit))
}

// done gives the room back.
func (b *body) done() {
	b.gateway.bytes.Add(-b.room)
	b.room = 0
}

// grow takes more room, or tells that there is none.
func (b *body) grow(more int64) error {
	if b.gateway.bytes.Add(more) > int64(b.gateway.MaxRequestBytes) {
		b.gateway.bytes.Add(-more)
		return busy("the bodies of the requests under way fill %d bytes, the limit", b.gateway.MaxRequestBytes)
	}
	b.room += more
	return nil
}

// Read implements io.Reader. Its errors tell the client what to do.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.next(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.explain(err)
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error { return b.from.Close() }

func (b *body) next(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if b.read == b.limit {
		return b.end()
	}
	if b.read == b.room {
		if err := b.grow(min(b.room, b.limit-b.room)); err != nil {
			return 0, err
		}
	}
	b.renew()
	n, err := b.from.Read(p[:min(int64(len(p)), b.room-b.read)])
	b.read += int64(n)
	return n, b.broken(err)
}

// end finds out whether there is more than there may be.
func (b *body) end() (int, error) {
	var one [1]byte
	n, err := b.from.Read(one[:])
	if n > 0 {
		return 0, tooLarge(b.gateway.MaxBodyBytes)
	}
	return 0, b.broken(err)
}

func (b *body) broken(err error) error {
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refuse(http.StatusRequestTimeout, codeTimeout, "the body did not arrive in time").remedied("Send it again, faster.")
	}
	return malformed("the body cannot be read: %v", err)
}

// renew gives the next part of the body its time. Not for every part: each costs a call.
func (b *body) renew() {
	now := time.Now()
	if now.Sub(b.renewed) < stallPatience/10 {
		return
	}
	b.renewed = now
	at := now.Add(stallPatience)
	if last := b.began.Add(bodyPatience); last.Before(at) {
		at = last
	}
	_ = b.control.SetReadDeadline(at) // a server that cannot has limits of its own
}
