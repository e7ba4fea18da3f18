package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

// root is the path of all that the listener serves.
const root = "/admin/v1/"

// Section is one part of the admin listener. Its handler gets requests with their
// whole path and is called concurrently.
type Section interface {
	// Name is shown in the list of sections.
	Name() string
	// Paths tells what it serves, such as "entities/{type}/{id}", relative to
	// /admin/v1/. The first word of each is the section's alone.
	Paths() []string
	http.Handler
}

// listener sends each request to the section that owns the first word of its path.
type listener struct {
	sections map[string]Section // by first word
	words    []string           // sorted
	list     *adminv1.Sections
}

// New returns the handler of all paths below /admin/v1/. It panics if two
// sections serve the same path.
func New(sections ...Section) http.Handler {
	l := &listener{sections: map[string]Section{}, list: &adminv1.Sections{}}
	for _, s := range sections {
		shown := &adminv1.Section{Name: s.Name()}
		for _, path := range s.Paths() {
			shown.Paths = append(shown.Paths, root+path)
			l.own(firstWord(path), s)
		}
		l.list.Sections = append(l.list.Sections, shown)
	}
	slices.Sort(l.words)
	return l
}

func (l *listener) own(word string, s Section) {
	switch other := l.sections[word]; {
	case other == s:
		return
	case other != nil:
		panic(fmt.Sprintf("admin: the sections %s and %s both serve %s%s", other.Name(), s.Name(), root, word))
	}
	l.sections[word] = s
	l.words = append(l.words, word)
}

func firstWord(path string) string {
	return path[:min(len(path), strings.IndexAny(path+"/", "/?"))]
}

// ServeHTTP implements http.Handler.
func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), root)
	switch {
	case !ok:
		gateway.WriteError(w, gateway.NotFound([]string{root}, "nothing is at this path"))
	case path == "":
		show(w, r, l.list, nil)
	case l.sections[firstWord(path)] == nil:
		gateway.WriteError(w, gateway.NotFound(l.words, "this node has no section for %q", firstWord(path)))
	default:
		l.sections[firstWord(path)].ServeHTTP(w, r)
	}
}

// split returns the section's word and the parts of the path behind it, unescaped.
func split(r *http.Request) (word string, args []string, err error) {
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), root), "/")
	for i, part := range parts {
		if parts[i], err = url.PathUnescape(part); err != nil {
			return "", nil, malformed("the path's part %q: %v", part, err)
		}
	}
	return parts[0], parts[1:], nil
}

// malformed is an entity.ErrMalformed with a reason.
func malformed(format string, args ...any) error {
	return &entity.Rejection{Code: "skerry/malformed", Message: fmt.Sprintf(format, args...)}
}
