package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
)

// Probe asks once, without any patience, whether an auction is there: a service that has
// lots, or one that is too busy to say.
func (c *Client) Probe(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/v1/entities", http.NoBody)
	if err != nil {
		return fmt.Errorf("nobody can be asked at %s: %w", c.base, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("nobody answers at %s: %w", c.base, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("nobody answers at %s: the answer broke off: %w", c.base, err)
	}
	refusal := readRefusal(resp.StatusCode, body)
	if resp.StatusCode == http.StatusOK && hasLots(body) || refusal.passing() {
		return nil
	}
	return fmt.Errorf("what answers at %s is no auction: %s", c.base, resp.Status)
}

// hasLots tells whether an index names the type of lots.
func hasLots(body []byte) bool {
	type named struct{ Name string }
	var index struct{ Types []named }
	return json.Unmarshal(body, &index) == nil && slices.Contains(index.Types, named{"lot"})
}
