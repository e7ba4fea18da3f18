package catalogue

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/skerryhq/skerry/entity"
)

// The limits on what one request asks for.
const (
	maxPage     = 200 // rows
	defaultPage = 50
	maxQuery    = 100 // bytes
	maxName     = 200 // bytes of a lot or a bidder in a request
	maxTotal    = 10_000
	maxToken    = 1024 // bytes of a page token
)

// malformed is the rejection of a request that cannot be meant.
func malformed(format string, args ...any) error {
	return &entity.Rejection{Code: codeMalformed, Message: fmt.Sprintf(format, args...)}
}

// The runtime's own codes for what a read model refuses.
var (
	codeMalformed = codeOf(entity.ErrMalformed)
	codeNotFound  = "skerry/not-found"
)

func codeOf(rejection error) string {
	var no *entity.Rejection
	if !errors.As(rejection, &no) {
		panic("catalogue: entity.ErrMalformed is no rejection")
	}
	return no.Code
}

// pageSize is how many rows to read.
func pageSize(asked int32) (int, error) {
	switch {
	case asked == 0:
		return defaultPage, nil
	case asked < 0 || asked > maxPage:
		return 0, malformed("page_size is %d: ask for 1 to %d, or for 0 to get %d", asked, maxPage, defaultPage)
	}
	return int(asked), nil
}

func checkName(what, name string) error {
	if n := len(name); n == 0 || n > maxName {
		return malformed("the %s has %d bytes: name one of 1 to %d", what, n, maxName)
	}
	return nil
}

// cursor is the last row of a page; the next page begins behind it. Rows may change
// between two pages: one that moves behind the cursor is seen again, one that moves before it is not.
type cursor struct {
	Order  string `json:"o"`
	Key    int64  `json:"k"`
	Name   string `json:"l,omitempty"` // of the lot, or the sale
	Number int64  `json:"n,omitempty"`
}

func (c cursor) token() string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("catalogue: a cursor cannot be encoded: %v", err))
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// readCursor reads a page token of the same order; nil for the first page.
func readCursor(token, order string) (*cursor, error) {
	if token == "" {
		return nil, nil
	}
	var c cursor
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil && len(token) <= maxToken {
		err = json.Unmarshal(text, &c)
	}
	if err != nil || len(token) > maxToken || c.Order != order {
		return nil, malformed("page_token is not one that this list gave: begin again without it")
	}
	return &c, nil
}
