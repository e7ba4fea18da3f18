package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"time"
)

//go:embed html
var layouts embed.FS

// shell is one page: an HTML file without a word about any lot, and the module that fills it.
type shell struct {
	name    string // of its file, its module, and its entry in the navigation
	title   string
	pattern string
}

// shells are the pages of the house.
func shells() []shell {
	return []shell{
		{"lots", "Lots", "GET /{$}"},
		{"lot", "Lot", "GET /lots/{id}"},
		{"bidder", "Bidder", "GET /bidders/{name}"},
		{"results", "Results", "GET /results"},
		{"clerk", "Clerk", "GET /clerk"},
		{"clerk", "Clerk", "GET /clerk/{sale}"},
	}
}

// Mount adds the pages and their assets to mux. It panics if the embedded files are
// broken, which the package's tests would have shown.
func Mount(mux *http.ServeMux) {
	files := loadAssets()
	for _, s := range shells() {
		mux.Handle(s.pattern, s.render(files))
	}
	mux.Handle("GET "+assetRoot+"{print}/{name}", files)
	mux.Handle("GET /favicon.ico", http.RedirectHandler(files.path("icon.svg"), http.StatusFound))
}

// render makes the page's bytes, once and for everybody.
func (s shell) render(files *assets) http.Handler {
	t := template.Must(template.ParseFS(layouts, "html/layout.html", "html/"+s.name+".html"))
	var b bytes.Buffer
	err := t.ExecuteTemplate(&b, "layout.html", map[string]any{
		"Page": s.name, "Title": s.title, "Assets": assetRoot + files.print, "Modules": files.modules(s.name),
	})
	if err != nil {
		panic(fmt.Sprintf("page: html/%s.html: %v", s.name, err))
	}
	return document{body: b.Bytes(), tag: fingerprint(b.Bytes())}
}

// document is a page as it goes out.
type document struct {
	body []byte
	tag  string
}

// policy lets a page load the embedded files and speak to its own service, and nothing else. No
// script or style stands inline, and no string becomes HTML.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

func (d document) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	guard(h)
	h.Set("Content-Security-Policy", policy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", `"`+d.tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(d.body))
}

// guard sets what each answer of this package carries.
func guard(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
}
