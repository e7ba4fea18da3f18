import { announce } from "./announce.js";
import { Refusal, wait } from "./api.js";
import { saw } from "./clock.js";
import { byId, mark, write } from "./dom.js";
import { bidOf, partOf, saleOf } from "./rows.js";
import { Tally } from "./tally.js";

// Follow keeps a page live. load reads what the page shows and returns the position of the oldest of
// its answers, or says on the page why it cannot and throws the Refusal; from there on change is given all that happened to each lot, in order,
// as parts of its row. When the stream says that a position is of no use any more, load is asked again, for answers at least as new as
// the position that Follow has then.
//
// The browser reconnects by itself and names the last position (Last-Event-ID). Where
// it gives up, after an answer that is no stream, Follow opens the stream anew.

const words = { connecting: "Connecting", live: "Live", lost: "Reconnecting", paused: "Paused", none: "Not live" };
const longest = 10_000; // ms between two tries
const hiddenPause = 30_000; // ms that a page may be out of sight before it lets go of its connection
const silence = 40_000; // ms without a word, pings included, after which a connection is dead though nobody has said so
const worthSaying = 4000; // ms without connection before it is announced

export class Follow {
  constructor({ load, change, lot }) {
    this.load = load;
    this.change = change;
    this.lot = lot;
    this.position = "";
    this.tally = new Tally(byId("connection"));
    this.failures = 0;
    this.watchSight();
    this.restart();
  }

  // restart reads everything and follows from there.
  async restart() {
    this.close("connecting");
    const mine = (this.run = {});
    let position;
    try {
      position = await this.load();
    } catch (why) {
      if (this.run === mine) this.close("none");
      if (!(why instanceof Refusal)) throw why;
      return; // load has said why on the page
    }
    if (this.run !== mine) return;
    this.position = position;
    this.tally.forget();
    this.open();
  }

  open() {
    const query = new URLSearchParams();
    if (this.lot) query.set("lot", this.lot);
    if (this.position) query.set("after", this.position);
    const source = (this.source = new EventSource(`/v1/stream?${query}`));
    this.listen();
    source.onopen = () => {
      this.listen();
      this.state("live");
    };
    source.addEventListener("ping", () => this.listen());
    source.onerror = () => this.broken(source);
    source.addEventListener("lots", (e) => this.message(e));
    source.addEventListener("reset", (e) => {
      this.position = e.lastEventId || this.position;
      this.restart();
    });
  }

  // listen waits for the next sign of life. A connection can end without either side being told: a
  // network that changed, a laptop that slept.
  listen() {
    clearTimeout(this.listening);
    this.listening = setTimeout(() => {
      if (!this.source) return;
      this.source.close();
      this.state("lost");
      this.open();
    }, silence);
  }

  message(e) {
    this.listen();
    this.position = e.lastEventId || this.position;
    this.failures = 0;
    const json = JSON.parse(e.data);
    const bids = (json.bids ?? []).map(bidOf);
    if (bids.length) saw(bids[bids.length - 1].at);
    this.tally.count(bids);
    this.change({ rows: (json.rows ?? []).map(partOf), bids, sales: (json.sales ?? []).map(saleOf) });
  }

  async broken(source) {
    if (this.source !== source) return;
    this.state("lost");
    if (source.readyState !== EventSource.CLOSED) return; // the browser tries again
    const pause = Math.min(500 * 2 ** this.failures++, longest);
    await wait(pause);
    if (this.source === source) this.open();
  }

  close(state) {
    clearTimeout(this.listening);
    this.source?.close();
    this.source = null;
    this.run = null;
    this.state(state);
  }

  // watchSight lets go of the connection of a page that nobody sees: browsers allow only six to a
  // service, over all their tabs.
  watchSight() {
    let timer;
    const pause = () => {
      if (this.source) this.close("paused");
    };
    const resume = () => {
      clearTimeout(timer);
      if (!this.source && !this.run) this.position ? this.open() : this.restart();
    };
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) timer = setTimeout(pause, hiddenPause);
      else resume();
    });
    addEventListener("pagehide", pause);
    addEventListener("pageshow", (e) => e.persisted && resume());
    addEventListener("online", () => {
      if (this.source) this.close("connecting");
      resume();
    });
    addEventListener("offline", () => this.source && this.state("lost"));
  }

  // state shows whether the page can be believed. Short interruptions are shown and not spoken of.
  state(state) {
    const node = byId("connection");
    mark(node, "state", state);
    write(byId("connection-text"), words[state]);
    clearTimeout(this.saying);
    if (state === "lost") {
      this.saying = setTimeout(() => {
        this.said = true;
        announce("The connection is lost. What you see may be out of date.");
      }, worthSaying);
    } else if (state === "live" && this.said) {
      this.said = false;
      announce("The connection is back. The page is up to date.");
    }
  }
}
