import { draw } from "./frame.js";

// The tally watches the bids of each lot go by. They are numbered without a hole, so it can tell whether the
// stream has left one out or sent one twice. The connection's element shows it, to tests and to the curious.

const most = 20_000; // lots that are watched at once

export class Tally {
  constructor(node) {
    this.node = node;
    this.last = new Map(); // lot → number of its newest bid
    this.counts = { messages: 0, bids: 0, repeated: 0, missed: 0 };
    this.show = () => this.write();
    this.write();
  }

  count(bids) {
    this.counts.messages++;
    for (const bid of bids) this.one(bid);
    draw(this.show);
  }

  one({ lot, number }) {
    const last = this.last.get(lot);
    if (last !== undefined && number <= last) {
      this.counts.repeated++;
      return;
    }
    if (last !== undefined) this.counts.missed += number - last - 1;
    this.counts.bids++;
    if (last === undefined && this.last.size >= most) this.last.clear();
    this.last.set(lot, number);
  }

  // forget is for after a gap that was told: the lists were read again.
  forget() {
    this.last.clear();
  }

  write() {
    for (const [name, n] of Object.entries(this.counts)) this.node.dataset[name] = n;
    this.node.title = `${this.counts.bids} bids came live; ${this.counts.missed} missed, ${this.counts.repeated} repeated`;
  }
}
