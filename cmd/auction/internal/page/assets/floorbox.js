import { versionOf } from "./api.js";
import { begin } from "./command.js";
import { Desk, complain, explain } from "./desk.js";
import { byId, prefill, write } from "./dom.js";
import { integer, parse, plain, show } from "./money.js";

// FloorBox takes bids from the room. The amount follows the next increment until the clerk types one; after a
// bid the clerk is at the paddle again, and may enter the next one before the answer is there.

export class FloorBox {
  // current returns the row on the block.
  constructor(current) {
    this.current = current;
    this.paddle = byId("paddle");
    this.amount = byId("amount");
    this.typed = false;
    this.version = 0; // of the lot with the newest bid from here
    this.desk = new Desk({
      name: "floor", what: "The bid from the room",
      outcome: byId("floor-outcome"), actions: byId("floor-again-actions"), again: byId("floor-again"),
      answered: (answer, command) => this.answered(answer, command.body),
      refused: (refusal) => this.refused(refusal),
    });
    this.amount.addEventListener("input", () => (this.typed = this.amount.value !== ""));
    byId("floor-form").addEventListener("submit", (e) => {
      e.preventDefault();
      this.submit();
    });
    this.desk.resume();
  }

  to(field) {
    this[field].focus();
    this[field].select();
  }

  reset(paddle) {
    this.version = 0;
    this.paddle.value = paddle;
    this.desk.say("", "");
  }

  // show follows the lot. What was said of a bid is taken away when another one has come.
  show(row) {
    if (this.version && row && row.version > this.version) this.reset(this.paddle.value);
    const open = Boolean(row) && !row.closed;
    byId("place").disabled = !open;
    if (!this.typed) prefill(this.amount, open && row.next ? plain(row.next) : "");
  }

  submit() {
    const row = this.current();
    this.complain("", "");
    if (!row || row.closed) return;
    const paddle = /^[1-9][0-9]{0,4}$/.test(this.paddle.value.trim()) ? Number(this.paddle.value) : 0;
    const cents = parse(this.amount.value);
    if (!paddle) return this.complain("A paddle has a number from 1 to 99999.", "");
    if (cents === null) return this.complain("", "Write an amount like 12 or 12.50.");
    if (!this.desk.enqueue(begin("lot", row.lot, "PlaceFloorBid", { paddle, amountCents: String(cents) }))) {
      return this.complain("", "Too many bids wait for their answer. Enter it again in a moment.");
    }
    this.typed = false;
    this.show(row);
    this.to("paddle");
  }

  complain(paddle, amount) {
    complain(this.amount, byId("amount-problem"), amount);
    complain(this.paddle, byId("paddle-problem"), paddle);
  }

  answered({ body: view, version }, { paddle, amountCents }) {
    this.version = versionOf(version);
    const price = show(integer(view.priceCents));
    if (view.leader === `paddle ${paddle}`) return `Paddle ${paddle} leads at ${price}.`;
    return `Paddle ${paddle} bid ${show(integer(amountCents))}; ${view.leader} online has more. The price is ${price}.`;
  }

  refused(refusal) {
    const sentence = refusal.code === "low" ? "That is not above the price." : explain(refusal);
    if (refusal.code === "paddle") this.complain(sentence, "");
    else if (["low", "amount", "own-maximum"].includes(refusal.code)) this.complain("", sentence);
    else return refusal.code === "closed" ? "The lot is closed: the bid was not taken." : sentence;
    return "";
  }
}
