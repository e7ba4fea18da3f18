// Package page is what people see of the auction house: five pages of plain HTML, CSS and
// small ES modules, embedded in the program. There is no build step and no resource from elsewhere.
//
//	mux := http.NewServeMux()
//	page.Mount(mux)
//
// The pages are the same bytes for everybody. All that is in them comes by the public API, as
// it would for any client: a list is read once (GET /v1/lots, …), and from the
// position of that answer on, the live stream (GET /v1/stream) tells what changes. Rows
// are merged by their version, bids by their number, so that a message that comes twice is
// harmless and one that is missing is noticed.
//
// Titles and names come from strangers. They are only ever set as text; the
// Content-Security-Policy forbids all script and style that is not one of the
// embedded files, and asks the browser to refuse HTML made of strings.
//
// Assets lie below a path that names their content, and may be kept for ever; pages are
// asked for again each time, and answered 304 if they are the same.
//
// Package chromium, below, drives a real browser for the tests.
package page
