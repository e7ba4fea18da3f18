// Package chromium drives a real, headless Chromium for tests: one browser, any number of
// people before it, each with a profile of their own.
//
//	browser := chromium.Start(t)
//	ann := browser.Person(t)
//	ann.Open(url + "/")
//	ann.WaitFor(`document.querySelector("h1")`)
//	ann.Press(kb.Tab, kb.Enter)
//
// Where no Chromium is installed the test is skipped, loudly; where SKERRY_REQUIRE names "chromium" it
// fails instead. Whatever a page reports as wrong (an exception, an error on the console, a
// violation of its Content-Security-Policy) fails the test of the person that saw it.
package chromium
