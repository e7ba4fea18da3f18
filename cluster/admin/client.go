package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

// ErrUnreachable is wrapped when nothing answers at a client's address.
var ErrUnreachable = errors.New("no admin listener answers")

// Client looks into a node over its admin listener. It is an [Inspector], a [ReadSide] and a [Watched], and may
// be used concurrently. The zero HTTP means http.DefaultClient.
type Client struct {
	// Addr is the listener's host:port.
	Addr string
	HTTP *http.Client
}

var (
	_ Inspector = (*Client)(nil)
	_ ReadSide  = (*Client)(nil)
	_ Watched   = (*Client)(nil)
)

// Shards implements Inspector.
func (c *Client) Shards(ctx context.Context) ([]entity.ShardInfo, error) {
	var m adminv1.Shards
	if err := c.get(ctx, "shards", &m); err != nil {
		return nil, err
	}
	return shardsFromWire(&m), nil
}

// Inspect implements Inspector.
func (c *Client) Inspect(ctx context.Context, typ, id string, at *uint64) (*entity.EntityInfo, error) {
	path := "entities/" + url.PathEscape(typ) + "/" + url.PathEscape(id)
	if at != nil {
		path += "?at=" + strconv.FormatUint(*at, 10)
	}
	var m adminv1.Entity
	if err := c.get(ctx, path, &m); err != nil {
		return nil, err
	}
	return entityFromWire(&m), nil
}

// Status implements ReadSide.
func (c *Client) Status(ctx context.Context) (*adminv1.Processors, error) {
	var m adminv1.Processors
	if err := c.get(ctx, "processors", &m); err != nil {
		return nil, err
	}
	return &m, nil
}

// Parked implements ReadSide.
func (c *Client) Parked(ctx context.Context, processor string) (*adminv1.ParkedEntities, error) {
	var m adminv1.ParkedEntities
	if err := c.get(ctx, ofProcessor(processor, "parked"), &m); err != nil {
		return nil, err
	}
	return &m, nil
}

// Retry implements ReadSide.
func (c *Client) Retry(ctx context.Context, processor, entityType, entityID string) error {
	return c.post(ctx, ofProcessor(processor, "retry", entityType, entityID))
}

// Pause implements ReadSide.
func (c *Client) Pause(ctx context.Context, processor string) error {
	return c.post(ctx, ofProcessor(processor, "pause"))
}

// Resume implements ReadSide.
func (c *Client) Resume(ctx context.Context, processor string) error {
	return c.post(ctx, ofProcessor(processor, "resume"))
}

// Breakers asks for all circuit breakers of a node's service. The section that answers is one of the package
// breaker/breakeradmin.
func (c *Client) Breakers(ctx context.Context) (*adminv1.Breakers, error) {
	var m adminv1.Breakers
	if err := c.get(ctx, "breakers", &m); err != nil {
		return nil, err
	}
	return &m, nil
}

// Breaker asks for one of them, with its settings and last transitions.
func (c *Client) Breaker(ctx context.Context, id string) (*adminv1.Breaker, error) {
	var m adminv1.Breaker
	if err := c.get(ctx, "breakers/"+url.PathEscape(id), &m); err != nil {
		return nil, err
	}
	return &m, nil
}

// Members implements Watched.
func (c *Client) Members(ctx context.Context) (*adminv1.Members, error) {
	var m adminv1.Members
	if err := c.get(ctx, "members", &m); err != nil {
		return nil, err
	}
	return &m, nil
}

// Placement implements Watched.
func (c *Client) Placement(ctx context.Context) (*adminv1.Placement, error) {
	var m adminv1.Placement
	if err := c.get(ctx, "placement", &m); err != nil {
		return nil, err
	}
	return &m, nil
}

// Watch implements Watched.
func (c *Client) Watch(ctx context.Context, after uint64) (*adminv1.ClusterEvents, error) {
	var m adminv1.ClusterEvents
	if err := c.get(ctx, "events?after="+strconv.FormatUint(after, 10), &m); err != nil {
		return nil, err
	}
	return &m, nil
}

// Drain has a node freed of shards. An unknown node is refused unless force says that it may be one. Like all orders it
// returns when the order is stored; after an error that is not a refusal it may have been.
func (c *Client) Drain(ctx context.Context, node string, force bool) error {
	return c.order(ctx, "drain/"+url.PathEscape(node), force)
}

// Undrain takes back a Drain.
func (c *Client) Undrain(ctx context.Context, node string) error {
	return c.order(ctx, "undrain/"+url.PathEscape(node), false)
}

// Pin has a shard live on a node, for as long as that may own shards.
func (c *Client) Pin(ctx context.Context, shard int, node string, force bool) error {
	return c.order(ctx, "pin/"+strconv.Itoa(shard)+"/"+url.PathEscape(node), force)
}

// Unpin takes back all pins, or those of the shards given.
func (c *Client) Unpin(ctx context.Context, shards ...int) error {
	var texts []string
	for _, s := range shards {
		texts = append(texts, strconv.Itoa(s))
	}
	if len(texts) == 0 {
		return c.order(ctx, "unpin", false)
	}
	return c.order(ctx, "unpin?shards="+strings.Join(texts, ","), false)
}

func (c *Client) order(ctx context.Context, path string, force bool) error {
	if force {
		path += "?force=true"
	}
	return c.send(ctx, http.MethodPost, "orders/"+path, &adminv1.Members{})
}

func ofProcessor(name string, rest ...string) string {
	path := "processors/" + url.PathEscape(name)
	for _, part := range rest {
		path += "/" + url.PathEscape(part)
	}
	return path
}

// maxAnswerBytes limits what is read: 10,000 events, most of them small.
const maxAnswerBytes = 256 << 20

func (c *Client) get(ctx context.Context, path string, m proto.Message) error {
	return c.send(ctx, http.MethodGet, path, m)
}

// post sends a verb; what it answers is of no use here.
func (c *Client) post(ctx context.Context, path string) error {
	return c.send(ctx, http.MethodPost, path, &adminv1.Processors{})
}

func (c *Client) send(ctx context.Context, method, path string, m proto.Message) error {
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		return fmt.Errorf("the address %q is not HOST:PORT: %w", c.Addr, err)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.Addr+root+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("the address %q: %w", c.Addr, err)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%w at %s: %w", ErrUnreachable, c.Addr, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := gateway.ReadError(resp); err != nil {
		return err
	}
	return read(resp.Body, m)
}

func read(body io.Reader, m proto.Message) error {
	text, err := io.ReadAll(io.LimitReader(body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer: %w", err)
	case len(text) > maxAnswerBytes:
		return fmt.Errorf("the answer is larger than %d bytes: ask for an older version", maxAnswerBytes)
	}
	// A newer node may tell more than this client knows.
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, m); err != nil {
		return fmt.Errorf("the answer is no %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return nil
}
