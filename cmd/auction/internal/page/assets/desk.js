import { announce } from "./announce.js";
import { Refusal } from "./api.js";
import { Silence, keep, kept, send } from "./command.js";
import { hide, mark, write } from "./dom.js";

const most = 8; // commands that wait

// A Desk sends one command at a time and says honestly what is known of it: taken, refused and why, not run, or
// perhaps run. what names the command in its sentences ("Your bid").

export class Desk {
  // answered and refused are told the outcome and return the sentence to show.
  constructor({ name, what, outcome, actions, again, answered, refused, busy }) {
    Object.assign(this, { name, what, outcome, actions, answered, refused, busy });
    this.pending = null;
    this.queue = [];
    again.addEventListener("click", () => this.pending && this.run({ ...this.pending, since: Date.now() }));
  }

  get free() {
    return !this.running;
  }

  // submit is ignored while a command is under way: two taps are one bid.
  submit(command) {
    if (this.free) this.run(command);
  }

  // enqueue is for who types faster than the network answers: commands go one after another, in their
  // order. It tells whether there was room.
  enqueue(command) {
    if (this.free) this.run(command);
    else if (this.queue.length < most) this.queue.push(command);
    else return false;
    return true;
  }

  // resume takes up what was left open when the page was loaded again.
  resume() {
    const command = kept(this.name);
    if (!command) return;
    this.say("doubt", `${this.what} had no answer when this page was left. Asking again; it counts once at most.`);
    this.run(command);
  }

  async run(command) {
    this.hold(command, true);
    try {
      const answer = await send(command, (ran) => {
        keep(this.name, command);
        this.say("doubt", this.doubt(ran));
      });
      this.settle("good", this.answered(answer, command));
    } catch (why) {
      if (why instanceof Silence) this.giveUp(command, why);
      else if (why instanceof Refusal) this.settle("bad", this.refused(why, command));
      else throw why;
    } finally {
      this.running = false;
      this.busy?.(false);
    }
    if (this.queue.length) this.run(this.queue.shift());
  }

  hold(command, running) {
    this.pending = command;
    this.running = running;
    keep(this.name, command);
    hide(this.actions, true);
    this.busy?.(running);
  }

  settle(kind, sentence) {
    this.pending = null;
    keep(this.name, null);
    this.say(kind, sentence);
  }

  // giveUp leaves it to the user: the key stays, so that asking again is the same command. What waited behind it was
  // meant to follow it, and is not sent.
  giveUp(command, { ran }) {
    const rest = this.queue.splice(0).length ? " What was entered after it was not sent." : "";
    this.say("doubt", ran === "no"
      ? `${this.what} was not taken: the auction house had no time for it.${rest}`
      : `No answer for two minutes. ${this.what} may have been taken or not: look for it among the bids.${rest}`);
    hide(this.actions, false);
  }

  doubt(ran) {
    if (ran === "no") return `The auction house is busy. ${this.what} is not taken yet; trying again.`;
    return `No answer yet. ${this.what} may have been taken or not. Asking again; it counts once at most.`;
  }

  // say shows a sentence; an empty one takes the last away.
  say(kind, sentence) {
    mark(this.outcome, "kind", kind);
    write(this.outcome, sentence);
    hide(this.outcome, sentence === "");
    if (sentence) announce(sentence);
  }
}

// explain puts the service's own words together, for refusals that have no sentence here.
export function explain({ message, remedy }) {
  return [message, remedy].filter(Boolean).map((s) => s.replace(/\.?$/, ".")).join(" ") || "The auction house refused this.";
}

// complain shows what is wrong with a field, beside it, and takes the user there.
export function complain(field, note, sentence) {
  write(note, sentence);
  if (sentence) field.setAttribute("aria-invalid", "true");
  else field.removeAttribute("aria-invalid");
  if (sentence) field.focus();
}
