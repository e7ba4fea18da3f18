package page

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	mux := http.NewServeMux()
	Mount(mux)
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

var pages = []string{"/", "/lots/lamp", "/lots/a%2Fb", "/bidders/ann", "/results", "/clerk", "/clerk/today"}

func TestEveryPageIsGuarded(t *testing.T) {
	t.Parallel()
	for _, path := range pages {
		w := get(t, path)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: answered %d %s", path, w.Code, w.Header().Get("Content-Type"))
		}
		policy := w.Header().Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: its policy lacks %s: %s", path, want, policy)
			}
		}
		if strings.Contains(policy, "unsafe") || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", path, w.Header())
		}
	}
}

// inline finds what the policy would refuse, and what comes from elsewhere.
var inline = regexp.MustCompile(`(?i)<style|\sstyle=|\son\w+=|javascript:|<script[^>]*>[^<]|(src|href)="(https?:)?//`)

func TestNoPageHasScriptStyleOrResourcesOfOthers(t *testing.T) {
	t.Parallel()
	for _, path := range pages {
		if found := inline.FindString(get(t, path).Body.String()); found != "" {
			t.Errorf("%s has %q", path, found)
		}
	}
	for name, text := range loadAssets().files {
		if found := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|url\(`).Find(text); found != nil {
			t.Errorf("%s has %q", name, found)
		}
	}
}

func TestAPageNamesAllItsModulesAndNoOthers(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile(`(?:src|href)="(/assets/[^"]+)"`)
	imported := regexp.MustCompile(`(?m)^import [^;]*? from "\./([^"]+)";`)
	for _, path := range pages {
		body := get(t, path).Body.String()
		seen := map[string]bool{}
		for _, m := range named.FindAllStringSubmatch(body, -1) {
			w := get(t, m[1])
			if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
				t.Errorf("%s names %s, answered %d %s", path, m[1], w.Code, w.Header().Get("Cache-Control"))
			}
			seen[m[1][strings.LastIndex(m[1], "/")+1:]] = true
		}
		for name := range seen {
			for _, m := range imported.FindAllStringSubmatch(string(loadAssets().files[name]), -1) {
				if !seen[m[1]] {
					t.Errorf("%s does not name %s, which %s imports", path, m[1], name)
				}
			}
		}
	}
}

func TestPagesAreAskedForAgainAndAssetsAreKept(t *testing.T) {
	t.Parallel()
	first := get(t, "/")
	again := get(t, "/", "If-None-Match", first.Header().Get("ETag"))
	if first.Header().Get("Cache-Control") != "no-cache" || again.Code != http.StatusNotModified || again.Body.Len() != 0 {
		t.Errorf("asked again: %d, %d bytes, %v", again.Code, again.Body.Len(), first.Header())
	}
	current := assetRoot + loadAssets().print
	for path, want := range map[string]int{
		current + "/style.css": http.StatusOK, current + "/none.css": http.StatusNotFound,
		assetRoot + "0123456789/style.css": http.StatusNotFound, current + "/": http.StatusNotFound,
		current + "/../page.go": http.StatusNotFound, "/lots/": http.StatusNotFound,
	} {
		if w := get(t, path); w.Code != want && w.Code != http.StatusTemporaryRedirect {
			t.Errorf("%s: answered %d, want %d", path, w.Code, want)
		}
	}
}
