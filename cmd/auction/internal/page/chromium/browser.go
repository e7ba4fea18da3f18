package chromium

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// Browser is a running Chromium. Any number of goroutines may make persons of it.
type Browser struct {
	ctx context.Context //nolint:containedctx // chromedp keeps the browser in it
}

// Start runs a Chromium with an empty profile until the test ends.
func Start(t testing.TB) *Browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(find(t)), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		// Windows that hide each other still draw: here nobody looks at any of them.
		chromedp.Flag("disable-backgrounding-occluded-windows", true), chromedp.Flag("disable-renderer-backgrounding", true),
		chromedp.WindowSize(1280, 900), chromedp.WSURLReadTimeout(patience),
	)
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	ctx, leave := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		quit(t, ctx)
		leave()
		stop()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium does not start: %v", err)
	}
	return &Browser{ctx: ctx}
}

// quit closes the browser in good order, so that nothing of it writes into a folder that
// is about to go.
func quit(t testing.TB, browser context.Context) {
	ctx, done := context.WithTimeout(browser, patience)
	defer done()
	if err := chromedp.Cancel(ctx); err != nil {
		t.Logf("chromium does not end by itself: %v", err)
	}
}

// find returns the path of a Chromium.
func find(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if strings.Contains(os.Getenv("SKERRY_REQUIRE"), "chromium") {
		t.Fatal("there is no chromium on the PATH, and SKERRY_REQUIRE wants it: on Debian, as root, .ci/chromium installs it")
	}
	t.Skip("NOT TESTED: there is no chromium on the PATH: on Debian, as root, .ci/chromium installs it")
	return ""
}
