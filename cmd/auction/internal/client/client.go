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
	// Token stands for everything that the answer had seen; the read model can be asked to wait for it.
	Token string
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
	return persist(ctx, func() (Answer, error) { return c.post(ctx, lot, key, short(cmd), body) })
}

// CallUp puts a lot on the block of a sale, as Command does with what it is given.
func (c *Client) CallUp(ctx context.Context, sale, key, lot string) error {
	body, err := protojson.Marshal(&auctionv1.CallUp{Lot: lot})
	if err != nil {
		return fmt.Errorf("encode the command: %w", err)
	}
	_, err = persist(ctx, func() (struct{}, error) {
		req, err := c.request(ctx, "sale", sale, key, "CallUp", body)
		if err == nil {
			_, _, err = c.do(req)
		}
		return struct{}{}, err
	})
	return err
}

// Lot asks for a lot with its newest bids.
func (c *Client) Lot(ctx context.Context, lot string, newest int) (Answer, error) {
	return persist(ctx, func() (Answer, error) {
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

func persist[A any](ctx context.Context, attempt func() (A, error)) (answer A, err error) {
	var told error // by the service, before ctx ended
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		answer, err = attempt()
		var retry *again
		if !errors.As(err, &retry) {
			return answer, err
		}
		if told == nil || ctx.Err() == nil {
			told = retry.cause
		}
		select {
		case <-ctx.Done():
			return answer, fmt.Errorf("%w; last try: %w", context.Cause(ctx), told)
		case <-time.After(max(pause, min(retry.after, longestPause))):
		}
	}
}

func (c *Client) post(ctx context.Context, lot, key, command string, body []byte) (Answer, error) {
	req, err := c.request(ctx, "lot", lot, key, command, body)
	if err != nil {
		return Answer{}, err
	}
	header, text, err := c.do(req)
	if err != nil {
		return Answer{}, err
	}
	return readView(header, text)
}

func (c *Client) request(ctx context.Context, typ, id, key, command string, body []byte) (*http.Request, error) {
	target := fmt.Sprintf("%s/v1/entities/%s/%s/%s", c.base, typ, url.PathEscape(id), command)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.base, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	return req, nil
}

// maxAnswer limits what is read of one answer.
const maxAnswer = 1 << 20

// do sends a request and reads its answer. The error is a Refusal, or one to try again after.
func (c *Client) do(req *http.Request) (http.Header, []byte, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, &again{cause: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, nil, &again{cause: fmt.Errorf("the answer broke off: %w", err)}
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusCreated {
		return resp.Header, body, nil
	}
	refusal := readRefusal(resp.StatusCode, body)
	if !refusal.passing() {
		return nil, nil, refusal
	}
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return nil, nil, &again{cause: refusal, after: time.Duration(seconds) * time.Second}
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
	return Answer{View: view, Version: version, Token: header.Get("Skerry-Token"), Body: body}, nil
}

func short(cmd proto.Message) string { return string(cmd.ProtoReflect().Descriptor().Name()) }
