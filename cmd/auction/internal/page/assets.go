package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

//go:embed assets
var embedded embed.FS

const assetRoot = "/assets/"

// assets are the embedded files. Their path names the content of all of them, because
// modules import each other: a page never mixes the files of two releases.
type assets struct {
	print string
	files map[string][]byte
}

func loadAssets() *assets {
	a := &assets{files: map[string][]byte{}}
	entries, err := fs.ReadDir(embedded, "assets")
	if err != nil {
		panic("page: " + err.Error())
	}
	var all bytes.Buffer
	for _, e := range entries {
		text, err := embedded.ReadFile("assets/" + e.Name())
		if err != nil {
			panic("page: " + err.Error())
		}
		a.files[e.Name()] = text
		all.WriteString(e.Name())
		all.Write(text)
	}
	a.print = fingerprint(all.Bytes())
	return a
}

// fingerprint names some content: 80 bits are plenty to tell releases apart.
func fingerprint(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:10])
}

func (a *assets) path(name string) string { return assetRoot + a.print + "/" + name }

// modules are the scripts that a page needs, its own first, so that the browser asks for all at once
// instead of one import after another.
func (a *assets) modules(page string) []string {
	found := []string{page + ".js"}
	for i := 0; i < len(found); i++ {
		for _, line := range strings.Split(string(a.files[found[i]]), "\n") {
			_, from, ok := strings.Cut(line, ` from "./`)
			if name, _, closed := strings.Cut(from, `"`); ok && closed && !slices.Contains(found, name) {
				found = append(found, name)
			}
		}
	}
	return found
}

// ServeHTTP answers with a file. A path of another release is not found: its
// content is gone, and a wrong one must not be kept for ever under its name.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	guard(w.Header())
	name := r.PathValue("name")
	text, ok := a.files[name]
	if !ok || r.PathValue("print") != a.print {
		w.Header().Set("Cache-Control", "no-store")
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Content-Type", contentTypes[path.Ext(name)])
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
}

// contentTypes do not come from the machine, which might name them otherwise.
var contentTypes = map[string]string{
	".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}
