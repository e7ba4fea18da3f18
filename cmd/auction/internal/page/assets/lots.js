import { announce } from "./announce.js";
import { get, insist } from "./api.js";
import { everySecond } from "./clock.js";
import { Keyed, byId, flash, hide, make, mark, write } from "./dom.js";
import { draw } from "./frame.js";
import { mineOf, myLots, myName } from "./me.js";
import { problem } from "./problem.js";
import { isWhole, lotPath, rowOf } from "./rows.js";
import { leaderOf, nextOf, priceOf, soon, stateMark, stateOf, timeOf } from "./standing.js";
import { Follow } from "./stream.js";
import { Table } from "./table.js";

// The list of lots: one page of rows, whatever the number of lots. Rows of other pages that change are
// passed over; where they might belong onto this one, the page is read again after a while.

const pageSize = 50;
const rereadPause = 4000; // ms between two readings that nobody asked for

let order = []; // ids of the lots on the page
let pages = [""]; // tokens of the pages up to this one
let nextPage = "";
let total = 0;
let reading = null;
let changed = new Set();

const form = byId("filters");
const table = new Table();
const list = new Keyed(byId("rows"), line);
let me = myName();
let mine = myLots(me);

function line() {
  const link = make("a", { class: "lot-link" });
  const chip = make("span", { class: "chip" });
  const own = make("span", { class: "chip", hidden: "" });
  const title = make("th", { role: "rowheader", scope: "row", class: "lot-cell" }, link, " ", chip, " ", own);
  const cell = (label, ...kinds) => make("td", { role: "cell", class: kinds.join(" "), "data-label": label });
  const price = cell("Price", "num", "price");
  const next = cell("Next bid", "num");
  const leader = cell("Leads", "leader");
  const bids = cell("Bids", "num", "bid-count");
  const time = cell("Time left", "num", "time");
  const node = make("tr", { role: "row" }, title, price, next, leader, bids, time);
  const tick = (row) => {
    write(time, timeOf(row));
    mark(time, "soon", String(soon(row)));
  };
  const update = (row, before) => {
    node.dataset.lot = row.lot;
    mark(node, "state", stateMark(row));
    write(link, row.title);
    link.href = lotPath(row.lot);
    write(chip, stateOf(row));
    mark(chip, "state", stateMark(row));
    hide(chip, stateMark(row) === "open");
    const stands = mineOf(row, me, mine.has(row.lot));
    write(own, { leads: "You lead", outbid: "Outbid", won: "You won", lost: "" }[stands] ?? "");
    mark(own, "mine", stands);
    hide(own, own.textContent === "");
    write(price, priceOf(row));
    write(next, nextOf(row));
    write(leader, leaderOf(row));
    mark(leader, "none", String(!row.leader));
    write(bids, row.bids.toLocaleString("en"));
    tick(row);
    if (before && before.price !== row.price) flash(price);
  };
  return { node, update, tick };
}

// drawRows touches the rows that have changed, and no others.
function drawRows() {
  for (const lot of changed) if (table.get(lot)) list.update(lot, table.get(lot));
  changed.clear();
}

function drawAll() {
  changed.clear();
  const focused = document.activeElement?.closest?.("tr");
  list.render(order.map((lot) => [lot, table.get(lot)]));
  if (focused && !focused.isConnected) byId("main").focus();
  hide(byId("empty"), order.length > 0);
  const first = (pages.length - 1) * pageSize;
  write(byId("count"), total === 1 ? "1 lot" : `${total.toLocaleString("en")}${total >= 10_000 ? " or more" : ""} lots`);
  write(byId("range"), order.length ? `${(first + 1).toLocaleString("en")}–${(first + order.length).toLocaleString("en")} of ${total.toLocaleString("en")}` : "");
  hide(byId("pager"), pages.length === 1 && nextPage === "");
  able(byId("previous"), pages.length > 1);
  able(byId("next"), nextPage !== "");
}

// able does not disable a button: it would lose the focus of who has just pressed it.
const able = (button, yes) => button.setAttribute("aria-disabled", String(!yes));

function wanted() {
  const query = new URLSearchParams({ page_size: pageSize });
  for (const [name, value] of new FormData(form)) if (value) query.set(name, value);
  const token = pages[pages.length - 1];
  if (token) query.set("page_token", token);
  return `/v1/lots?${query}`;
}

// read reads the page that is wanted now. A newer wish puts an end to an older one.
function read() {
  reading?.abort();
  const mine = (reading = new AbortController());
  latest = table.during(async () => {
    try {
      const { body, token } = await insist(() => get(wanted(), follow?.position ?? "", mine.signal), mine.signal);
      take(body);
      return token;
    } finally {
      if (reading === mine) reading = null;
    }
  });
  return latest;
}

let latest; // promise of the newest read

// load returns the position of whatever read comes to an end.
async function load() {
  for (let mine = read(); ; mine = latest) {
    try {
      return await mine;
    } catch (why) {
      if (mine !== latest) continue;
      refused(why);
      throw why;
    }
  }
}

function take(body) {
  const fresh = (body.lots ?? []).map(rowOf);
  for (const row of fresh) table.put(row);
  order = fresh.map((row) => row.lot);
  table.keep(order);
  if (table.full) rereadSoon();
  nextPage = body.nextPageToken ?? "";
  total = Number(body.total ?? 0);
  draw(drawAll);
}

function change(event) {
  for (const each of event.rows) {
    const { before, after } = table.change(each);
    if (before !== after) changed.add(each.lot);
    if (mayMove(each, before, after)) rereadSoon();
  }
  if (changed.size) draw(drawRows);
}

// mayMove tells whether a change may bring another lot onto the page, or another order: a lot was opened
// or closed, or a price changed where prices give the order.
function mayMove(row, before, after) {
  if (before && before === after) return false;
  return row.closed || isWhole(row) || (form.sort.value === "price" && before?.price !== row.price);
}

let rereading = null;
function rereadSoon() {
  rereading ??= setTimeout(() => {
    rereading = null;
    if (document.hidden || reading) rereadSoon();
    else read().catch(refused);
  }, rereadPause);
}

function refused(why) {
  if (why.name !== "AbortError") problem(why.message || "The list cannot be shown.");
}

// reread is for what the user asked for: the new list is announced.
async function reread(words) {
  remember();
  try {
    await read();
    announce(words());
  } catch (why) {
    refused(why);
  }
}

// remember keeps the filters in the address, for a reload or a friend.
function remember() {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value && value !== form[name].dataset.usual) query.set(name, value);
  history.replaceState(null, "", query.size ? `/?${query}` : "/");
}

function recall() {
  for (const field of form.elements) field.dataset.usual = field.value;
  for (const [name, value] of new URLSearchParams(location.search)) {
    const field = form.elements.namedItem(name);
    if (field) field.value = value;
    if (field?.selectedIndex === -1) field.selectedIndex = 0; // no such choice
  }
}

function filter() {
  pages = [""];
  return reread(() => `${total.toLocaleString("en")} ${total === 1 ? "lot" : "lots"}`);
}

const typingPause = 250; // ms
let typing;
form.query.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(filter, typingPause);
});
form.addEventListener("change", (e) => e.target !== form.query && filter());
form.addEventListener("submit", (e) => {
  e.preventDefault();
  clearTimeout(typing);
  filter();
});
byId("next").addEventListener("click", () => nextPage && turn(() => pages.push(nextPage)));
byId("previous").addEventListener("click", () => pages.length > 1 && turn(() => pages.pop()));

async function turn(step) {
  if (reading) return;
  step();
  await reread(() => `Page ${pages.length}`);
  scrollTo({ top: 0 });
}

recall();
let follow;
follow = new Follow({ load, change });
everySecond(() => {
  for (const { item, tick } of list.shown.values()) tick(item);
});

// Who comes back from a lot may have bid on it.
addEventListener("pageshow", (e) => {
  if (!e.persisted) return;
  me = myName();
  mine = myLots(me);
  for (const { item, update } of list.shown.values()) update(item);
});

