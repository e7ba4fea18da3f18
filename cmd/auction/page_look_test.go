package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"

	"github.com/skerryhq/skerry/cmd/auction/internal/page/chromium"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// furnished is a house with lots of every kind in it.
func furnished(t *testing.T) *house {
	h := openHouse(t)
	h.put("clock", "A cuckoo clock from Triberg, with two of its three pine-cone weights", 25_00, 20*time.Minute)
	h.put("camera", "A folding camera", 40_00, 3*time.Hour)
	h.put("chairs", "Six Windsor chairs", 120_00, 50*time.Hour)
	h.put("violin", "A violin, restored, in its case", 200_00, 0)
	h.put("globe", "A globe of 1911", 5_00, 0)
	h.put("marbles", "A box of glass marbles", 1_00, 0)
	for i, who := range []string{"ann", "bob", "Cid Caesar", "dot", "ann", "bob", "eve"} {
		h.bid("clock", who, int64(25_00+i*1700))
		h.bid("chairs", who, int64(120_00+i*99_00))
		h.bid("violin", who, int64(200_00+i*150_00))
	}
	h.put("lamp", "A brass lamp with an opal shade", 10_00, 45*time.Second) // late, so that the bids come in time
	for i, who := range []string{"ann", "bob", "Cid Caesar", "dot"} {
		h.bid("lamp", who, int64(12_00+i*500))
	}
	h.send("globe", &auctionv1.PlaceFloorBid{Paddle: 12, AmountCents: 80_00})
	h.send("globe", &auctionv1.CloseLot{})
	h.send("marbles", &auctionv1.CloseLot{})
	return h
}

// onTheBlock lets the clerk sell the violin.
func onTheBlock(h *house, clerk *chromium.Person) {
	clerk.Open(h.url + "/clerk")
	clerk.Click("#call")
	clerk.WaitFor(`document.getElementById("block-title").textContent.startsWith("A violin")`)
	clerk.Fill("#paddle", "12")
	clerk.Fill("#amount", "1500")
	clerk.Click("#place")
	clerk.WaitFor(`leader.textContent.startsWith("Paddle 12")`)
	clerk.Click("#raise")
	clerk.WaitFor(`hammer.textContent === "Going once"`)
}

// views are all pages, with what shows that they are there.
var views = []struct{ name, path, ready string }{
	{"lots", "/?state=all", `document.querySelectorAll("#rows tr").length >= 3`},
	{"lot", "/lots/clock", `document.querySelectorAll("#bids tr").length >= 1`},
	{"bidder", "/bidders/ann", `document.querySelectorAll("#rows tr").length >= 1`},
	{"results", "/results", `document.querySelectorAll("#rows tr").length >= 1`},
	{"clerk", "/clerk", `document.querySelectorAll("#bids tr").length >= 1`},
}

func nothingScrollsSideways(t *testing.T, browser *chromium.Browser) {
	h := openHouse(t)
	long := strings.Repeat("Donaudampfschifffahrt", 9) // 189 bytes, and nowhere to break
	name := strings.Repeat("N", 64)
	h.put("clock", long, 1_000_000_00, time.Hour)
	h.put("violin", long, 1_000_000_00, 0)
	h.put("globe", long, 1_000_000_00, 0)
	for _, lot := range []string{"clock", "violin", "globe"} {
		h.bid(lot, "ann", 1_000_000_00)
		h.bid(lot, name, 99_999_999_99)
	}
	h.send("globe", &auctionv1.CloseLot{})
	p := browser.Person(t)
	p.Open(h.url + "/clerk")
	p.Click("#call")
	p.WaitFor(`document.querySelectorAll("#bids tr").length === 2`)
	for _, view := range views {
		p.Open(h.url + view.path)
		p.WaitFor(view.ready)
		for _, width := range []int64{320, 360, 400, 768, 1280} {
			p.Resize(width, 740, width < 500)
			if over := chromium.Eval[int](p, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
				wide := chromium.Eval[[]string](p, `[...document.querySelectorAll("main *")].filter((n) => n.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !n.closest(".unseen")).slice(0, 4).map((n) => n.outerHTML.slice(0, 80))`)
				p.Screenshot(fmt.Sprintf("wide-%s-%d", view.name, width))
				t.Errorf("%s is %d px too wide for %d px, for %q", view.name, over, width, wide)
			}
		}
	}
}

func hostileTextStaysText(t *testing.T, browser *chromium.Browser) {
	h := openHouse(t)
	title := `<img src=x onerror="window.broken=1"><script>window.broken=1</script>{{7*7}}`
	name := `"><b onmouseover=alert(1)>&amp;</b>'`
	id := `a/b?c#d%2F"><i>`
	h.put(id, title, 10_00, time.Hour)
	h.bid(id, name, 20_00)
	h.put("violin", title, 10_00, 0)
	h.bid("violin", name, 20_00)
	p := browser.Person(t)
	at := h.url + "/lots/" + url.PathEscape(id)
	p.Open(h.url + "/")
	p.WaitFor(`document.querySelectorAll("#rows tr").length === 2`)
	p.Eval(fmt.Sprintf(`[...document.querySelectorAll(".lot-link")].find((a) => a.href === %q).click()`, at))
	p.WaitFor(`document.getElementById("title")?.textContent.startsWith("<img")`)
	shown := map[string]string{"#title": title, "#leader": name, "#bids a": name, "#id": "Lot " + id}
	for selector, want := range shown {
		if got := p.Text(selector); got != want {
			t.Errorf("%s shows %q", selector, got)
		}
	}
	for path, ready := range map[string]string{
		"/clerk": `document.querySelectorAll("#queue li").length === 1`, "/bidders/" + url.PathEscape(name): `document.querySelectorAll("#rows tr").length === 2`,
	} {
		p.Open(h.url + path)
		p.WaitFor(ready)
		if n := chromium.Eval[int](p, `document.querySelectorAll("main img, main b, main i, main script").length`); n > 0 || chromium.Eval[bool](p, `"broken" in window`) {
			t.Errorf("%s has %d elements made of text", path, n)
		}
	}
	p.Expect("Content Security Policy")
	p.Expect("TrustedHTML")
	p.Eval(`try { document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.broken=1'>") } catch {}`)
	p.Eval(`document.body.append(Object.assign(document.createElement("style"), {textContent: "body { display: none }"}))`)
	if chromium.Eval[bool](p, `"broken" in window || getComputedStyle(document.body).display === "none"`) {
		t.Error("the policy lets script or style through")
	}
	if !slices.ContainsFunc(p.Problems(), func(s string) bool { return strings.Contains(s, "Content Security Policy") }) {
		t.Errorf("a violation of the policy goes unnoticed: %q", p.Problems())
	}
}

// named are the roles whose elements mean nothing without a name.
var named = []string{"button", "link", "textbox", "searchbox", "combobox", "checkbox", "table", "navigation", "search", "form", "heading", "img"}

func everythingHasAName(t *testing.T, browser *chromium.Browser) {
	h := furnished(t)
	p := browser.Person(t)
	onTheBlock(h, p)
	for _, view := range views {
		p.Open(h.url + view.path)
		p.WaitFor(view.ready)
		p.Eval(`for (const d of document.querySelectorAll("details")) d.open = true`)
		found := map[string]int{}
		for _, node := range chromium.Call(p, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes {
			role := textOf(node.Role)
			if node.Ignored || !slices.Contains(named, role) {
				continue
			}
			found[role]++
			if textOf(node.Name) == "" {
				t.Errorf("%s has a %s without a name", view.name, role)
			}
		}
		if found["link"] < 4 || found["heading"] < 1 || found["navigation"] < 1 {
			t.Errorf("%s has only %v", view.name, found)
		}
		levels := chromium.Eval[[]int](p, `[...document.querySelectorAll("h1, h2, h3, h4")].filter((n) => n.checkVisibility()).map((n) => Number(n.tagName[1]))`)
		for i, level := range levels {
			if i == 0 && level != 1 || i > 0 && (level == 1 || level > levels[i-1]+1) {
				t.Errorf("%s has headings of the levels %v", view.name, levels)
			}
		}
		if n := chromium.Eval[int](p, `document.querySelectorAll("[aria-live], [role=status], [role=alert]").length`); n != 1 {
			t.Errorf("%s has %d live regions", view.name, n)
		}
		if got := chromium.Eval[string](p, `document.documentElement.lang + " " + document.querySelectorAll("main").length`); got != "en 1" {
			t.Errorf("%s has language and mains %q", view.name, got)
		}
	}
}

func textOf(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	return strings.Trim(string(v.Value), `" `)
}

// contrasts lists all texts that cannot be read well enough: below 4.5 to 1, or 3 to 1 for large ones. Edges of fields
// need 3 to 1.
const contrasts = `(() => {
	const parse = (c) => { const n = c.match(/[\d.]+/g).map(Number); return [n[0], n[1], n[2], n[3] ?? 1]; };
	const light = ([r, g, b]) => { const f = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
	const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
	const behind = (n) => { for (; n; n = n.parentElement) { const c = parse(getComputedStyle(n).backgroundColor); if (c[3] === 1) return c; } return [255, 255, 255, 1]; };
	const bad = [];
	const text = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let node; (node = text.nextNode());) {
		const n = node.parentElement;
		if (!node.data.trim() || !n.checkVisibility() || n.closest("noscript, .unseen, .skip, :disabled")) continue;
		const s = getComputedStyle(n), size = parseFloat(s.fontSize);
		const least = size >= 24 || (size >= 18.66 && s.fontWeight >= 700) ? 3 : 4.5;
		const is = ratio(parse(s.color), behind(n));
		if (is < least) bad.push(is.toFixed(2) + " " + s.color + " " + node.data.trim().slice(0, 30));
	}
	for (const n of document.querySelectorAll("input, select, button:enabled")) {
		if (!n.checkVisibility() || n.type === "checkbox") continue;
		const is = ratio(parse(getComputedStyle(n).borderTopColor), behind(n.parentElement));
		if (is < 3) bad.push(is.toFixed(2) + " edge of " + (n.id || n.textContent));
	}
	return bad;
})()`

func textCanBeRead(t *testing.T, browser *chromium.Browser) {
	h := furnished(t)
	p := browser.Person(t)
	onTheBlock(h, p)
	p.Open(h.url + "/lots/clock")
	bidFrom(p, "ann", "900")
	p.WaitFor(said("You lead"))
	p.Prefer("prefers-reduced-motion", "reduce")
	for _, scheme := range []string{"light", "dark"} {
		p.Prefer("prefers-color-scheme", scheme)
		for _, view := range views {
			p.Open(h.url + view.path)
			p.WaitFor(view.ready)
			for _, bad := range chromium.Eval[[]string](p, contrasts) {
				t.Errorf("%s, %s: %s", view.name, scheme, bad)
			}
		}
	}
}

// pictures are for people to look at.
func pictures(t *testing.T, browser *chromium.Browser) {
	h := furnished(t)
	p := browser.Person(t)
	onTheBlock(h, p)
	p.Screenshot("page-clerk")
	p.Open(h.url + "/lots/clock")
	bidFrom(p, "fay", "300")
	p.WaitFor(said("You lead"))
	p.Screenshot("page-lot")
	h.bid("clock", "ann", 500_00)
	p.WaitFor(`mine.textContent === "You are outbid."`)
	p.Screenshot("page-lot-outbid")
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"desktop", 1280, 900}, {"phone", 360, 740}} {
		for _, scheme := range []string{"light", "dark"} {
			p.Resize(size.width, size.height, size.name == "phone")
			p.Prefer("prefers-color-scheme", scheme)
			for _, view := range views {
				p.Open(h.url + view.path)
				p.WaitFor(view.ready)
				p.Screenshot("page-" + view.name + "-" + size.name + "-" + scheme)
			}
		}
	}
}
