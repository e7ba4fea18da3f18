package journal

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Token says how far a caller has seen the logs: a history and, per shard, the
// offset of an event. A reader that has passed it has seen at least as much.
//
// Its text is HISTORY.SHARD:OFFSET,SHARD:OFFSET with ascending shards, safe in
// a header and in a URL. The zero Token has seen nothing; its text is empty.
type Token struct {
	// History identifies the life of a journal; a restore changes it.
	History string
	// Offsets ascend by shard; no shard is named twice.
	Offsets []ShardOffset
}

// ShardOffset is the offset of an event in a shard's log.
type ShardOffset struct {
	Shard  uint32
	Offset uint64
}

// Limits of a token.
const (
	// MaxTokenShards limits the shards that one token names.
	MaxTokenShards = 4096
	// MaxHistory limits the bytes of a history id.
	MaxHistory = 64
)

// ErrToken is wrapped by errors about tokens: the text is not one, or two
// tokens are of different histories.
var ErrToken = errors.New("journal: bad token")

// Offset returns the token's offset in a shard; zero if it does not name it.
func (t Token) Offset(shard uint32) uint64 {
	if at, found := t.find(shard); found {
		return t.Offsets[at].Offset
	}
	return 0
}

// With returns the token moved on to offset in a shard. It never moves back;
// t itself is not changed.
func (t Token) With(shard uint32, offset uint64) Token {
	at, found := t.find(shard)
	t.Offsets = slices.Clone(t.Offsets)
	if found {
		t.Offsets[at].Offset = max(t.Offsets[at].Offset, offset)
		return t
	}
	t.Offsets = slices.Insert(t.Offsets, at, ShardOffset{shard, offset})
	return t
}

func (t Token) find(shard uint32) (int, bool) {
	return slices.BinarySearchFunc(t.Offsets, shard, func(o ShardOffset, shard uint32) int {
		return int(int64(o.Shard) - int64(shard))
	})
}

// Merge returns a token that has seen what t and u have seen: per shard the
// greater offset. Tokens of two histories cannot be merged.
func (t Token) Merge(u Token) (Token, error) {
	switch {
	case len(t.Offsets) == 0 && t.History == "":
		return u, nil
	case len(u.Offsets) == 0 && u.History == "":
		return t, nil
	case t.History != u.History:
		return Token{}, fmt.Errorf("%w: history %q does not match history %q: the journal was restored in between", ErrToken, u.History, t.History)
	}
	for _, o := range u.Offsets {
		t = t.With(o.Shard, o.Offset)
	}
	if len(t.Offsets) > MaxTokenShards {
		return Token{}, tooManyShards(len(t.Offsets))
	}
	return t, nil
}

// String returns the token's text, which ParseToken reads.
func (t Token) String() string {
	if t.History == "" {
		return ""
	}
	b := make([]byte, 0, len(t.History)+1+len(t.Offsets)*12)
	b = append(append(b, t.History...), '.')
	for i, o := range t.Offsets {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(o.Shard), 10)
		b = append(b, ':')
		b = strconv.AppendUint(b, o.Offset, 10)
	}
	return string(b)
}

// ParseToken reads a token's text. It accepts the shards in any order, each once.
func ParseToken(text string) (Token, error) {
	if text == "" {
		return Token{}, nil
	}
	history, list, found := strings.Cut(text, ".")
	if !found {
		return Token{}, fmt.Errorf("%w: no '.' after the history", ErrToken)
	}
	if err := checkHistory(history); err != nil {
		return Token{}, err
	}
	if list == "" {
		return Token{History: history}, nil
	}
	if n := strings.Count(list, ",") + 1; n > MaxTokenShards {
		return Token{}, tooManyShards(n)
	}
	offsets, err := parseOffsets(list)
	return Token{History: history, Offsets: offsets}, err
}

// checkHistory allows what needs no escape in a header or a URL.
func checkHistory(history string) error {
	if history == "" || len(history) > MaxHistory {
		return fmt.Errorf("%w: a history of %d bytes, want 1 to %d", ErrToken, len(history), MaxHistory)
	}
	for _, c := range []byte(history) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return fmt.Errorf("%w: character %q in the history", ErrToken, rune(c))
		}
	}
	return nil
}

func parseOffsets(list string) ([]ShardOffset, error) {
	var offsets []ShardOffset
	for part := range strings.SplitSeq(list, ",") {
		o, err := parseOffset(part)
		if err != nil {
			return nil, err
		}
		offsets = append(offsets, o)
	}
	slices.SortFunc(offsets, func(a, b ShardOffset) int { return int(int64(a.Shard) - int64(b.Shard)) })
	for i := range offsets[1:] {
		if offsets[i].Shard == offsets[i+1].Shard {
			return nil, fmt.Errorf("%w: shard %d is named twice", ErrToken, offsets[i].Shard)
		}
	}
	return offsets, nil
}

func parseOffset(part string) (ShardOffset, error) {
	shard, offset, found := strings.Cut(part, ":")
	if !found {
		return ShardOffset{}, fmt.Errorf("%w: %q is not SHARD:OFFSET", ErrToken, part)
	}
	s, err := strconv.ParseUint(shard, 10, 32)
	if err != nil {
		return ShardOffset{}, fmt.Errorf("%w: shard %q is not a number up to %d", ErrToken, shard, uint32(1<<32-1))
	}
	o, err := strconv.ParseUint(offset, 10, 64)
	if err != nil {
		return ShardOffset{}, fmt.Errorf("%w: offset %q of shard %d is not a number", ErrToken, offset, s)
	}
	return ShardOffset{uint32(s), o}, nil
}

func tooManyShards(n int) error {
	return fmt.Errorf("%w: %d shards, at most %d are allowed", ErrToken, n, MaxTokenShards)
}
