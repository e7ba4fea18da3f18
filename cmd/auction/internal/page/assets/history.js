import { moment } from "./clock.js";
import { Keyed, flash, hide, make, mark, write } from "./dom.js";
import { show } from "./money.js";
import { bidderPath } from "./rows.js";

// History is the list of a lot's bids, newest first, in the lot's own order. It holds
// a dense range of numbers, so that a hole cannot go unnoticed.

const most = 100; // bids on the page, unless the reader asks for more

export class History {
  constructor(body, empty) {
    this.list = new Keyed(body, entry);
    this.empty = empty;
    this.bids = new Map(); // number → bid, of a dense range
    this.newest = 0;
    this.oldest = 0;
    this.fresh = false;
    this.keep = most;
  }

  clear() {
    this.bids.clear();
    this.newest = this.oldest = 0;
  }

  // join takes a page of bids that was read. What it does not touch is let go.
  join(page) {
    const numbers = page.map((b) => b.number);
    if (page.length && this.bids.size && (Math.min(...numbers) > this.newest + 1 || Math.max(...numbers) < this.oldest - 1)) this.clear();
    for (const bid of page) this.put(bid);
  }

  // add takes a bid from the stream, and tells whether one before it is missing.
  add(bid) {
    if (this.newest && bid.number > this.newest + 1) return false;
    this.fresh = true;
    this.put(bid);
    return true;
  }

  put(bid) {
    if (this.bids.has(bid.number)) return;
    this.bids.set(bid.number, bid);
    this.newest = Math.max(this.newest, bid.number);
    this.oldest = this.oldest ? Math.min(this.oldest, bid.number) : bid.number;
  }

  // more lets older bids stay.
  more(n) {
    this.keep = Math.min(this.bids.size + n, 2000);
  }

  // whole tells that there is no older bid.
  get whole() {
    return this.oldest <= 1;
  }

  // render drops the oldest bids beyond the limit.
  render() {
    while (this.bids.size > this.keep) this.bids.delete(this.oldest++);
    const items = [];
    for (let n = this.newest; n >= this.oldest && n > 0; n--) items.push([n, this.bids.get(n)]);
    this.list.render(items);
    if (this.fresh) this.lightUp();
    this.fresh = false;
    hide(this.empty, items.length > 0);
  }

  // lightUp marks the newest bid for a moment, if it came while one looks on. One at a time: in a rush of bids
  // they would all glow, and cost more than they tell.
  lightUp() {
    delete this.lit?.dataset.flash;
    this.lit = this.list.parent.firstElementChild;
    flash(this.lit);
  }
}

function entry() {
  const number = make("td", { role: "cell", class: "num" });
  const link = make("a", {});
  const badge = make("span", { class: "badge" });
  const bidder = make("td", { role: "cell", class: "bidder" }, link, " ", badge);
  const amount = make("td", { role: "cell", class: "num" });
  const price = make("td", { role: "cell", class: "num quiet" });
  const at = make("td", { role: "cell", class: "num quiet" });
  const node = make("tr", { role: "row" }, number, bidder, amount, price, at);
  const update = (bid) => {
    write(number, String(bid.number));
    write(link, bid.paddle ? `Paddle ${bid.paddle}` : bid.bidder);
    link.href = bidderPath(bid.bidder);
    write(badge, bid.paddle ? "room" : "online");
    mark(badge, "from", bid.paddle ? "room" : "online");
    write(amount, show(bid.amount));
    write(price, bid.price ? show(bid.price) : "–");
    write(at, moment(bid.at));
    node.dataset.number = bid.number;
  };
  return { node, update };
}
