package chromium

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// patience bounds each thing that a person waits for. It is long, for a machine that does
// much else; nothing waits longer than it must.
const patience = 3 * time.Minute

// Person is somebody before the browser: a profile of their own with one open page. It serves
// one goroutine.
type Person struct {
	t   testing.TB
	ctx context.Context //nolint:containedctx // chromedp keeps the tab in it

	mu       sync.Mutex
	problems []string
	expected []string
}

// Person opens a new profile. It is closed when the test ends, and the test fails if a page
// had a problem that was not expected.
func (b *Browser) Person(t testing.TB) *Person {
	t.Helper()
	ctx, leave := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	p := &Person{t: t, ctx: ctx}
	t.Cleanup(func() {
		p.report()
		leave()
	})
	if err := chromedp.Do(ctx); err != nil { // binds the tab's life to ctx, which has no deadline
		t.Fatalf("a new profile: %v", err)
	}
	if err := chromedp.Listen(ctx, p.hear); err != nil {
		t.Fatalf("listen to the page: %v", err)
	}
	// Each person has the keyboard, although a desk has only one.
	Call(p, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	return p
}

// hear collects what a page reports as wrong.
func (p *Person) hear(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.problem("exception: " + describe(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			p.problem(fmt.Sprintf("console: %s", e.Args[0].Value))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			p.problem(fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	}
}

func describe(e *runtime.ExceptionDetails) string {
	if e.Exception != nil && e.Exception.Description != "" {
		return e.Exception.Description
	}
	return fmt.Sprintf("%s at %s:%d", e.Text, e.URL, e.LineNumber+1)
}

func (p *Person) problem(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = append(p.problems, text)
}

// Expect says that a problem whose text has this part is what the test is about.
func (p *Person) Expect(part string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = append(p.expected, part)
}

// Problems returns what the page has reported so far.
func (p *Person) Problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.problems)
}

func (p *Person) report() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, problem := range p.problems {
		if !p.isExpected(problem) {
			p.t.Errorf("the page reports: %s", problem)
		}
	}
}

func (p *Person) isExpected(problem string) bool {
	for _, part := range p.expected {
		if strings.Contains(problem, part) {
			return true
		}
	}
	return false
}

// Do runs actions of chromedp.
func (p *Person) Do(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, done := context.WithTimeout(p.ctx, patience)
	defer done()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.fail(what, err)
	}
}

// Call sends a command of the DevTools protocol to a person's page.
func Call[P, R any](p *Person, command cdp.Command[P, R], params P) R {
	p.t.Helper()
	ctx, done := context.WithTimeout(p.ctx, patience)
	defer done()
	result, err := chromedp.Call(ctx, command, params)
	if err != nil {
		p.fail(fmt.Sprintf("%T", params), err)
	}
	return result
}

// fail keeps a picture of what the person saw.
func (p *Person) fail(what string, err error) {
	p.t.Helper()
	p.Screenshot("failed-" + strings.ReplaceAll(strings.ReplaceAll(p.t.Name(), "/", "-"), " ", "_"))
	text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.body.innerText.slice(0, 1500)`))
	p.t.Fatalf("%s: %v\nthe page says:\n%s", what, err, text)
}

// Go goes to a page and waits until it is loaded.
func (p *Person) Go(url string) {
	p.t.Helper()
	p.Do("go to "+url, chromedp.Navigate(url))
}

// Open goes to a page and waits until it is live.
func (p *Person) Open(url string) {
	p.t.Helper()
	p.Go(url)
	p.WaitFor(`document.getElementById("connection").dataset.state === "live"`)
}

// Eval returns what an expression evaluates to. It waits if that is a promise.
func Eval[T any](p *Person, expression string) T {
	p.t.Helper()
	ctx, done := context.WithTimeout(p.ctx, patience)
	defer done()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.fail("evaluate "+expression, err)
	}
	return value
}

// Eval runs a script for its effect.
func (p *Person) Eval(script string) {
	p.t.Helper()
	p.Do("run "+script, chromedp.Evaluate[chromedp.Void](script))
}

// Text returns the text of the first element that a selector finds.
func (p *Person) Text(selector string) string {
	p.t.Helper()
	return Eval[string](p, fmt.Sprintf("String(document.querySelector(%q)?.textContent)", selector))
}

// WaitFor waits until an expression is true, also over the loading of another page. It looks
// whenever the page has changed.
func (p *Person) WaitFor(condition string) {
	p.t.Helper()
	ctx, done := context.WithTimeout(p.ctx, patience)
	defer done()
	met, err := p.await(ctx, condition)
	for err != nil && ctx.Err() == nil && strings.Contains(err.Error(), "navigated") {
		met, err = p.await(ctx, condition)
	}
	if err == nil && !met {
		err = errors.New("it did not come true in time")
	}
	if err != nil {
		p.fail("wait for "+condition, err)
	}
}

func (p *Person) await(ctx context.Context, condition string) (bool, error) {
	return chromedp.Run(ctx, chromedp.Evaluate[bool](fmt.Sprintf(waiting, condition, patience.Milliseconds()*9/10), chromedp.EvalAwaitPromise))
}

// waiting is a promise of a condition. A change of a field's value is no mutation: hence also the timer.
const waiting = `new Promise((done) => {
	const met = () => Boolean(%s);
	if (met()) return done(true);
	const end = (yes) => { watch.disconnect(); clearInterval(often); clearTimeout(late); done(yes); };
	const look = () => met() && end(true);
	const watch = new MutationObserver(look);
	watch.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
	const often = setInterval(look, 50);
	const late = setTimeout(() => end(false), %d);
})`

// Press presses keys, each with down and up; see package kb for those without a letter.
func (p *Person) Press(keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		for _, r := range key {
			p.press(r)
		}
	}
}

// press sends key and letter as one event, as a keyboard does: a page that takes the
// key for itself gets no letter.
func (p *Person) press(r rune) {
	p.t.Helper()
	var down *input.DispatchKeyEventParams
	for _, event := range kb.Encode(r) {
		switch event.Type {
		case input.DispatchKeyEventTypeChar:
			down.Text, down.UnmodifiedText = event.Text, event.UnmodifiedText
		case input.DispatchKeyEventTypeKeyUp:
			Call(p, input.DispatchKeyEvent, *down)
			Call(p, input.DispatchKeyEvent, *event)
		default:
			down = event
		}
	}
}

// Click clicks on the first element that a selector finds.
func (p *Person) Click(selector string) {
	p.t.Helper()
	p.Do("click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// Fill replaces what is in a field by typing, once one can see it.
func (p *Person) Fill(selector, text string) {
	p.t.Helper()
	p.WaitFor(fmt.Sprintf("document.querySelector(%q)?.checkVisibility()", selector))
	p.Eval(fmt.Sprintf("{ const f = document.querySelector(%q); f.focus(); f.select(); }", selector))
	p.Press(text)
}

// Resize makes the window as large as that of a phone or a desktop.
func (p *Person) Resize(width, height int64, phone bool) {
	p.t.Helper()
	Call(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: phone})
}

// Prefer sets a media feature, such as prefers-color-scheme.
func (p *Person) Prefer(feature, value string) {
	p.t.Helper()
	Call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: feature, Value: value}}})
}

// Screenshot writes what is seen to NAME.png in the folder that SKERRY_ARTIFACTS names, if it does.
func (p *Person) Screenshot(name string) {
	dir := os.Getenv("SKERRY_ARTIFACTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		p.t.Errorf("the picture %s: %v", name, err)
	}
}
