package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"google.golang.org/protobuf/encoding/protojson"

	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// Row asks the read model for a lot, as it is once it has seen what the token of an
// earlier answer stands for: one's own write, read back.
func (c *Client) Row(ctx context.Context, lot, token string) (*auctionv1.LotRow, error) {
	return persist(ctx, func() (*auctionv1.LotRow, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/v1/lots/%s?page_size=1", c.base, url.PathEscape(lot)), nil)
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", c.base, err)
		}
		req.Header.Set("Skerry-Token", token)
		_, body, err := c.do(req)
		if err != nil {
			return nil, err
		}
		page := &auctionv1.LotPage{}
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, page); err != nil {
			return nil, fmt.Errorf("the answer is not a lot: %w", err)
		}
		return page.GetRow(), nil
	})
}
