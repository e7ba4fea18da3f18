import { versionOf } from "./api.js";
import { begin } from "./command.js";
import { Desk, complain, explain } from "./desk.js";
import { byId, hide, mark, prefill, write } from "./dom.js";
import { mineOf, myMaximum, myName, setMyMaximum, setMyName } from "./me.js";
import { integer, parse, plain, show } from "./money.js";
import { who } from "./rows.js";

// BidBox takes the user's bids on one lot. The amount follows the least next bid until the user types one.

export class BidBox {
  constructor(lot) {
    this.lot = lot;
    this.name = byId("bidder");
    this.amount = byId("amount");
    this.typed = false;
    this.row = null;
    this.best = 0; // the user's highest bid that is known
    this.words = "";
    this.name.value = myName();
    this.desk = new Desk({
      name: `bid:${lot}`, what: "Your bid",
      outcome: byId("outcome"), actions: byId("again-actions"), again: byId("again"),
      answered: (answer, command) => this.answered(answer, command.body),
      refused: (refusal) => this.refused(refusal),
      busy: (busy) => this.wait(busy),
    });
    this.listen();
    this.desk.resume();
  }

  listen() {
    byId("bid-form").addEventListener("submit", (e) => {
      e.preventDefault();
      this.submit();
    });
    this.amount.addEventListener("input", () => (this.typed = this.amount.value !== ""));
    this.name.addEventListener("change", () => {
      setMyName(this.name.value.trim());
      this.best = 0;
      if (this.row) this.show(this.row, this.bids);
    });
  }

  wait(busy) {
    byId("place").setAttribute("aria-disabled", String(busy));
    write(byId("place"), busy ? "Placing…" : "Place bid");
  }

  submit() {
    const name = this.name.value.trim();
    const cents = parse(this.amount.value);
    this.complain("", "");
    if (!this.desk.free) return;
    if (name === "") return this.complain("Tell the auction house who bids.", "");
    if (cents === null) return this.complain("", "Write an amount like 12 or 12.50, at most 100,000,000.");
    setMyName(name);
    this.desk.submit(begin("lot", this.lot, "PlaceBid", { bidder: name, amountCents: String(cents) }));
  }

  complain(name, amount) {
    complain(this.amount, byId("amount-problem"), amount);
    complain(this.name, byId("bidder-problem"), name);
  }

  answered({ body: view, version }, { bidder, amountCents }) {
    const cents = integer(amountCents);
    this.answer = { version: versionOf(version), leads: view.leader === bidder };
    setMyMaximum(this.lot, bidder, cents);
    this.best = Math.max(this.best, cents);
    this.typed = false;
    if (document.activeElement === this.amount) this.amount.select();
    if (this.row) this.show(this.row, this.bids);
    const price = show(integer(view.priceCents));
    if (view.leader === bidder) return `Your bid is taken. You lead at ${price}, and pay ${show(cents)} at the most.`;
    return `Your bid is taken, but ${who(view.leader ?? "")} has bid as much or more. The price is ${price}.`;
  }

  refused(refusal) {
    const { code } = refusal;
    if (code === "bidder") this.complain(explain(refusal), "");
    else if (["low", "amount", "own-maximum"].includes(code)) this.complain("", this.sentence(refusal));
    else return this.sentence(refusal);
    return "";
  }

  sentence(refusal) {
    switch (refusal.code) {
      case "low": return `That is too little. Bid ${this.row ? show(this.row.next || this.row.opening) : "the opening bid"} or more.`;
      case "own-maximum": return "You have bid that much already. Only a higher bid counts.";
      case "closed": return "Too late: the lot is closed. Your bid was not taken.";
      case "full": return "The lot takes no more bidders. Your bid was not taken.";
      default: return explain(refusal);
    }
  }

  // expire takes the answer to a bid away when it is no longer true.
  expire(row, name) {
    if (!this.answer || row.version <= this.answer.version) return;
    if (!row.closed && this.answer.leads === (row.leader === name)) return;
    this.answer = null;
    this.desk.say("", "");
  }

  // show follows the lot.
  show(row, bids) {
    this.row = row;
    this.bids = bids;
    const name = this.name.value.trim();
    for (const bid of bids) if (bid.bidder === name && !bid.paddle) this.best = Math.max(this.best, bid.amount);
    this.best = Math.max(this.best, name ? myMaximum(this.lot, name) : 0);
    this.expire(row, name);
    this.drawMine(row, name);
    hide(byId("bid-form"), row.closed && !byId("outcome").textContent);
    byId("place").disabled = row.closed;
    if (!this.typed && row.next) prefill(this.amount, plain(this.least(row, name)));
  }

  // least is the amount to offer: the next bid, or for the leader, who bids against nobody, more than they have bid.
  least(row, name) {
    return row.leader === name && this.best >= row.next ? this.best + (row.next - row.price) : row.next;
  }

  drawMine(row, name) {
    const stands = mineOf(row, name, this.best > 0);
    this.words = {
      leads: this.best ? `You lead. Your highest bid is ${show(this.best)}.` : "You lead.",
      outbid: "You are outbid.",
      won: `You won this lot for ${show(row.price)}.`,
      lost: "You did not win this lot.",
    }[stands] ?? (row.closed ? "This lot takes no more bids." : "");
    write(byId("mine"), this.words);
    mark(byId("mine"), "mine", stands);
    hide(byId("mine"), this.words === "");
  }
}
