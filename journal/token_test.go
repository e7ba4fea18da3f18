package journal

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestATokenReadsBackFromItsText(t *testing.T) {
	t.Parallel()
	token := Token{History: "a-B_9"}.With(7, 40).With(2, 1).With(1<<32-1, 1<<64-1).With(2, 9).With(7, 3)
	const text = "a-B_9.2:9,7:40,4294967295:18446744073709551615"
	if token.String() != text {
		t.Fatalf("text %q, want %q", token, text)
	}
	for _, text := range []string{text, "a-B_9.7:40,4294967295:18446744073709551615,2:9"} {
		got, err := ParseToken(text)
		if err != nil || !reflect.DeepEqual(got, token) {
			t.Errorf("%q reads %+v, %v, want %+v", text, got, err, token)
		}
	}
	if got, err := ParseToken(""); err != nil || got.String() != "" {
		t.Errorf("the empty text reads %+v, %v", got, err)
	}
	if got, err := ParseToken("h."); err != nil || got.History != "h" || got.Offset(1) != 0 {
		t.Errorf("a history alone reads %+v, %v", got, err)
	}
}

func TestABadTokenIsNamed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"history":                           "no '.'",
		".1:2":                              "history of 0 bytes",
		strings.Repeat("h", 65) + ".1:2":    "history of 65 bytes",
		"h i.1:2":                           "character ' '",
		"h.1":                               "not SHARD:OFFSET",
		"h.1:2,":                            "not SHARD:OFFSET",
		"h.4294967296:2":                    "shard \"4294967296\"",
		"h.-1:2":                            "shard \"-1\"",
		"h.1:x":                             "offset \"x\" of shard 1",
		"h.1:18446744073709551616":          "offset",
		"h.1:2,3:4,1:5":                     "shard 1 is named twice",
		"h." + strings.Repeat("1:1,", 5000): "at most 4096",
	} {
		_, err := ParseToken(text)
		if !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want ErrToken that says %q", text, err, want)
		}
	}
}

func TestMergedTokensTakeTheGreaterOffset(t *testing.T) {
	t.Parallel()
	a := Token{History: "h"}.With(1, 5).With(2, 9)
	b := Token{History: "h"}.With(2, 3).With(3, 1).With(1, 6)
	got, err := a.Merge(b)
	if err != nil || got.String() != "h.1:6,2:9,3:1" {
		t.Fatalf("merged %v, %v", got, err)
	}
	if a.String() != "h.1:5,2:9" {
		t.Errorf("merge changed its receiver to %v", a)
	}
	if got, err := a.Merge(Token{}); err != nil || got.String() != a.String() {
		t.Errorf("merged with nothing: %v, %v", got, err)
	}
	if got, err := (Token{}).Merge(a); err != nil || got.String() != a.String() {
		t.Errorf("nothing merged with it: %v, %v", got, err)
	}
	if _, err := a.Merge(Token{History: "g"}.With(1, 1)); !errors.Is(err, ErrToken) {
		t.Errorf("merged with another history: %v, want ErrToken", err)
	}
	many, more := Token{History: "h"}, Token{History: "h"}
	for shard := range uint32(MaxTokenShards) {
		many, more = many.With(shard, 1), more.With(shard+1, 1)
	}
	if _, err := many.Merge(more); !errors.Is(err, ErrToken) {
		t.Errorf("merged to %d shards: %v, want ErrToken", MaxTokenShards+1, err)
	}
}

func FuzzParseToken(f *testing.F) {
	for _, text := range []string{"", "h.", "h.1:2", "h.1:2,0:18446744073709551615", "h.1:2,1:3", "a.b.c", "h.01:+2"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			if !errors.Is(err, ErrToken) {
				t.Fatalf("%v is not ErrToken", err)
			}
			return
		}
		again, err := ParseToken(token.String())
		if err != nil || !reflect.DeepEqual(again, token) {
			t.Fatalf("%q reads %+v, its text %q reads %+v, %v", text, token, token, again, err)
		}
	})
}
