package gateway

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/skerryhq/skerry/journal"
)

// Headers beside HTTP's own.
const (
	headerKey      = "Idempotency-Key"
	headerTimeout  = "Skerry-Timeout"
	headerLocal    = "Skerry-Local"
	headerToken    = "Skerry-Token"
	headerRepeated = "Skerry-Repeated"
	headerEntityID = "Skerry-Entity-Id"
	headerTrace    = "Traceparent"
	headerPrefer   = "Prefer"
	headerApplied  = "Preference-Applied"
)

// maxKey limits a key's bytes.
const maxKey = 256

// meta is what headers tell about a command.
type meta struct {
	key       string // empty if none was given
	ifVersion *uint64
	local     bool
	after     journal.Token
	async     bool
	timeout   time.Duration
	trace     string
}

func readMeta(r *http.Request, query bool, timeout time.Duration) (m meta, err error) {
	if m.key, err = readKey(r.Header); err != nil {
		return m, err
	}
	if m.ifVersion, err = readVersion(r.Header, query); err != nil {
		return m, err
	}
	if m.local, err = readLocal(r.Header, query); err != nil {
		return m, err
	}
	if m.after, err = readToken(r.Header, query); err != nil {
		return m, err
	}
	if m.async, err = readAsync(r.Header, query, m.key); err != nil {
		return m, err
	}
	if m.timeout, err = readTimeout(r.Header, timeout); err != nil {
		return m, err
	}
	m.trace = readTrace(r.Header)
	if query {
		m.key = "" // a query stores nothing, so there is nothing to remember
	}
	return m, nil
}

// readToken reads what a query must have seen. A command sees the newest state anyhow, so a
// client may send its token with everything.
func readToken(h http.Header, query bool) (journal.Token, error) {
	text, given, err := single(h, headerToken)
	if err != nil || !given || !query {
		return journal.Token{}, err
	}
	token, err := journal.ParseToken(text)
	if err != nil {
		return token, malformed("the header %s: %v", headerToken, err).
			remedied("Give a token as an answer's header " + headerToken + " shows it.")
	}
	return token, nil
}

// respondAsync is the preference of RFC 7240 for an answer at once and the reply later.
const respondAsync = "respond-async"

// readAsync tells whether the client prefers to ask for its answer later. It is a wish: a query ignores it.
func readAsync(h http.Header, query bool, key string) (bool, error) {
	if query || !prefers(h, respondAsync) {
		return false, nil
	}
	if key == "" {
		return false, malformed("%s: %s needs a key: it is what the answer can be asked for by", headerPrefer, respondAsync).
			remedied("Give the header " + headerKey + ", such as a random UUID.")
	}
	return true, nil
}

// prefers looks for a preference without a value.
func prefers(h http.Header, preference string) bool {
	for _, line := range h.Values(headerPrefer) {
		for p := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(p, ";")
			if strings.EqualFold(strings.TrimSpace(name), preference) {
				return true
			}
		}
	}
	return false
}

// single returns the only value of a header.
func single(h http.Header, name string) (value string, given bool, err error) {
	values := h.Values(name)
	switch len(values) {
	case 0:
		return "", false, nil
	case 1:
		return strings.TrimSpace(values[0]), true, nil
	}
	return "", true, malformed("the header %s is given %d times", name, len(values)).remedied("Give it once.")
}

// readKey takes a key as it is, or as a quoted string of RFC 8941; both name the same key.
func readKey(h http.Header) (string, error) {
	text, given, err := single(h, headerKey)
	if err != nil || !given {
		return "", err
	}
	key, wrong := text, ""
	if strings.HasPrefix(text, `"`) {
		key, wrong = unquote(text)
	}
	if wrong == "" {
		wrong = wrongKey(key)
	}
	if wrong == "" {
		return key, nil
	}
	return "", malformed("the header %s is no key: %s", headerKey, wrong).
		remedied("Give 1 to 256 bytes without control characters, such as a random UUID, plain or in double quotes.")
}

// wrongKey tells what is wrong with a key; nothing if it is one.
func wrongKey(key string) string {
	switch {
	case key == "" || len(key) > maxKey:
		return "it has " + strconv.Itoa(len(key)) + " bytes"
	case !utf8.ValidString(key):
		return "it is not valid UTF-8"
	case strings.ContainsFunc(key, unicode.IsControl):
		return "it has a control character"
	}
	return ""
}

// unquote reads a string of RFC 8941, or tells what is wrong with it.
func unquote(text string) (plain, wrong string) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"' && i == len(text)-1:
			return b.String(), ""
		case c == '"':
			return "", "there is more behind the closing quote"
		case c == '\\':
			if i++; i >= len(text) || (text[i] != '"' && text[i] != '\\') {
				return "", `within quotes, \ may stand only before " and \`
			}
			b.WriteByte(text[i])
		case c < ' ' || c > '~':
			return "", "within quotes, only printable ASCII is allowed"
		default:
			b.WriteByte(c)
		}
	}
	return "", "its closing quote is missing"
}

// readVersion reads the version that a command expects. If-None-Match: * is HTTP's
// own word for "only if it is new".
func readVersion(h http.Header, query bool) (*uint64, error) {
	match, given, err := single(h, "If-Match")
	if err != nil {
		return nil, err
	}
	if query {
		if given {
			return nil, malformed("If-Match is for commands; a query has nothing to guard").remedied("Leave the header out.")
		}
		return nil, nil
	}
	none, isNew, err := single(h, "If-None-Match")
	switch {
	case err != nil:
		return nil, err
	case isNew && (given || none != "*"):
		return nil, malformed("with a command, If-None-Match may only be *, and not beside If-Match").
			remedied(`Give If-Match: "VERSION", or If-None-Match: * to create only.`)
	case isNew:
		return new(uint64), nil
	case !given:
		return nil, nil
	}
	return parseVersion(match)
}

func parseVersion(match string) (*uint64, error) {
	text, ok := strings.CutPrefix(match, `"`)
	text, closed := strings.CutSuffix(text, `"`)
	version, err := strconv.ParseUint(text, 10, 64)
	if !ok || !closed || err != nil || strconv.FormatUint(version, 10) != text {
		return nil, malformed("If-Match: %s names no version of an entity", quoted(match)).
			remedied(`Give one version as its ETag shows it, such as "7", or "0" to create only; neither *, nor W/, nor a list.`)
	}
	return &version, nil
}

func readLocal(h http.Header, query bool) (bool, error) {
	text, given, err := single(h, headerLocal)
	if err != nil || !given {
		return false, err
	}
	local, err := strconv.ParseBool(text)
	if err != nil {
		return false, malformed("the header %s is %s", headerLocal, quoted(text)).remedied("Give true or false.")
	}
	if local && !query {
		return false, malformed("the header %s is for queries, not for commands", headerLocal).remedied("Leave it out.")
	}
	return local, nil
}

// readTimeout reads how long the client waits: a duration such as 500ms, or seconds.
func readTimeout(h http.Header, otherwise time.Duration) (time.Duration, error) {
	text, given, err := single(h, headerTimeout)
	if err != nil || !given {
		return otherwise, err
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		if d, err = time.ParseDuration(text + "s"); err != nil {
			return 0, malformed("the header %s is %s, which is no time", headerTimeout, quoted(text)).
				remedied("Give a time such as 2s or 500ms.")
		}
	}
	if d <= 0 {
		return 0, malformed("the header %s is %v: that deadline has passed already, so nothing was sent to the entity", headerTimeout, d).
			remedied("Give a positive time such as 2s or 500ms.")
	}
	return min(d, MaxTimeout), nil
}

var traceparent = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// readTrace returns the request's W3C trace. As that standard asks, one that
// cannot be read is ignored.
func readTrace(h http.Header) string {
	text, _, err := single(h, headerTrace)
	if err != nil || !traceparent.MatchString(text) || strings.HasPrefix(text, "ff-") {
		return ""
	}
	return text
}
