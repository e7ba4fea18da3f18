// Package client speaks to a running auction as any program would: JSON over
// HTTP, and nothing of Skerry. It shows what a careful client does: one key
// per command, the same key on every repeat, and a repeat only where the kind of the answer
// allows one.
package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// Client sends commands to the lots of one service. It may be used concurrently.
type Client struct {
	base string
	http *http.Client
}

// New returns a client of the service at base, such as http://127.0.0.1:8080.
func New(base string, h *http.Client) *Client {
	return &Client{base: strings.TrimRight(base, "/"), http: h}
}

// Answer is a lot's yes, and the version of the lot that it tells of.
type Answer struct {
	View    *auctionv1.LotView
	Version uint64
	// Body is the answer as it came, byte for byte.
	Body []byte
}

// Command sends a command until it is answered for good or ctx ends. Sending it
// again with its key is safe, so that it is repeated also when nobody knows whether it ran.
func (c *Client) Command(ctx context.Context, lot, key string, cmd proto.Message) (Answer, error) {
	body, err := protojson.Marshal(cmd)
	if err != nil {
		return Answer{}, fmt.Errorf("encode the command: %w", err)
	}
	return c.persist(ctx, func() (Answer, error) { return c.post(ctx, lot, key, short(cmd), body) })
}

// Lot asks for a lot with its newest bids.
func (c *Client) Lot(ctx context.Context, lot string, newest int) (Answer, error) {
	return c.persist(ctx, func() (Answer, error) {
		body := fmt.Appendf(nil, `{"newest":%d}`, newest)
		return c.post(ctx, lot, "", "GetLot", body)
	})
}

// again is the answer to an attempt that may be repeated, after a pause.
type again struct {
	cause error
	after time.Duration
}

func (a *again) Error() string { return a.cause.Error() }

// The pauses between attempts double from the first to the longest, unless the service says when to come back.
const (
	firstPause   = 20 * time.Millisecond
	longestPause = 2 * time.Second
)

func (c *Client) persist(ctx context.Context, attempt func() (Answer, error)) (Answer, error) {
	var told error // by the service, before ctx ended
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		answer, err := attempt()
		var retry *again
		if !errors.As(err, &retry) {
			return answer, err
		}
		if told == nil || ctx.Err() == nil {
			told = retry.cause
		}
		select {
		case <-ctx.Done():
			return Answer{}, fmt.Errorf("%w; last try: %w", context.Cause(ctx), told)
		case <-time.After(max(pause, min(retry.after, longestPause))):
		}
	}
}

func (c *Client) post(ctx context.Context, lot, key, command string, body []byte) (Answer, error) {
	target := fmt.Sprintf("%s/v1/entities/lot/%s/%s", c.base, url.PathEscape(lot), command)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return Answer{}, fmt.Errorf("ask %s: %w", c.base, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return Answer{}, &again{cause: err}
	}
	defer resp.Body.Close()
	return read(resp)
}

// maxAnswer limits what is read of one answer.
const maxAnswer = 1 << 20

func read(resp *http.Response) (Answer, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return Answer{}, &again{cause: fmt.Errorf("the answer broke off: %w", err)}
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusCreated {
		return readView(resp.Header, body)
	}
	refusal := readRefusal(resp.StatusCode, body)
	if !refusal.passing() {
		return Answer{}, refusal
	}
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return Answer{}, &again{cause: refusal, after: time.Duration(seconds) * time.Second}
}

func readView(header http.Header, body []byte) (Answer, error) {
	view := &auctionv1.LotView{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, view); err != nil {
		return Answer{}, fmt.Errorf("the answer is not a lot: %w", err)
	}
	version, err := strconv.ParseUint(strings.Trim(header.Get("ETag"), `"`), 10, 64)
	if err != nil {
		return Answer{}, fmt.Errorf("the answer has no version: ETag %q", header.Get("ETag"))
	}
	return Answer{View: view, Version: version, Body: body}, nil
}

func short(cmd proto.Message) string { return string(cmd.ProtoReflect().Descriptor().Name()) }
