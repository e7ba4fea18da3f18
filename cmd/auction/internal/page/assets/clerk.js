import { announce } from "./announce.js";
import { ask, get, insist } from "./api.js";
import { begin } from "./command.js";
import { Desk, explain } from "./desk.js";
import { Keyed, byId, flash, hide, make, mark, write } from "./dom.js";
import { FloorBox } from "./floorbox.js";
import { draw } from "./frame.js";
import { History } from "./history.js";
import { listenToKeys } from "./keys.js";
import { show } from "./money.js";
import { problem } from "./problem.js";
import { bidOf, fromRoom, isWhole, lotPath, pathPart, rowOf, saleOf, who } from "./rows.js";
import { bidsOf, stateOf } from "./standing.js";
import { Follow } from "./stream.js";
import { Table } from "./table.js";

// The clerk's page: the lot on the block, its bids from room and net in the one order of the lot, and
// the hammer. Hammer and close name the version of the lot that the clerk has seen: a bid that comes at the
// last moment stops them, and the clerk sees it first.

const saleName = pathPart(1) || "today";
const pageSize = 50;
const queueSize = 200; // live lots that are looked at for the next one

let sale = { sale: saleName, lot: "", count: -1 };
let sure = false; // the clerk has pressed "sold" once, before going twice
let said = null; // the row that was announced last

const table = new Table(); // open live lots, and the one on the block
const bids = new History(byId("bids"), byId("no-bids"));
const queue = new Keyed(byId("queue"), queued);
const floor = new FloorBox(() => table.get(sale.lot));
const desk = new Desk({
  name: `clerk:${saleName}`, what: "What the clerk did",
  outcome: byId("outcome"), actions: byId("again-actions"), again: byId("again"),
  answered: (answer, command) => answered(answer.body, command), refused,
  busy: (busy) => byId("raise").parentElement.setAttribute("aria-busy", String(busy)),
});

async function load() {
  try {
    return await read();
  } catch (why) {
    problem(why.message || "The sale cannot be shown.");
    throw why;
  }
}

async function read() {
  const after = follow?.position ?? "";
  const query = new URLSearchParams({ state: "open", live: "true", sort: "closing", page_size: queueSize });
  return table.during(async () => {
    const first = await insist(() => get(`/v1/lots?${query}`, after));
    const asked = await insist(() => ask(`/v1/entities/sale/${encodeURIComponent(saleName)}/GetSale`));
    const open = (first.body.lots ?? []).map(rowOf);
    for (const row of open) table.put(row);
    adopt(saleOf(asked.body));
    table.keep([...open.map((row) => row.lot), sale.lot]);
    await readBlock(first.token);
    draw(drawClerk);
    return first.token; // the oldest of the three
  });
}

// readBlock reads the lot on the block with its bids.
async function readBlock(after) {
  const lot = sale.lot;
  if (!lot) return;
  try {
    await table.during(async () => {
      const { body } = await insist(() => get(`/v1/lots/${encodeURIComponent(lot)}?page_size=${pageSize}`, after));
      if (sale.lot !== lot) return;
      table.put(rowOf(body.row ?? {}));
      bids.join((body.bids ?? []).map(bidOf));
      draw(drawClerk);
    });
  } catch (why) {
    if (!(why.status >= 400)) throw why;
    announce(`The lot ${lot} is on the block but nobody has opened it.`);
  }
}

// adopt takes a newer state of the sale, and tells whether another lot is on the block now.
function adopt(next) {
  if (next.count <= sale.count) return false;
  const other = next.lot !== sale.lot;
  sale = { ...next, sale: saleName };
  if (other) {
    bids.clear();
    floor.typed = false;
    floor.reset("");
    if (desk.free) desk.say("", "");
    sure = false;
    said = null;
  }
  return other;
}

function change(event) {
  for (const s of event.sales) if (s.sale === saleName) callUp(s);
  for (const each of event.rows) follows(each);
  for (const bid of event.bids) if (bid.lot === sale.lot && !bids.add(bid)) return follow.restart();
  draw(drawClerk);
}

function callUp(next) {
  if (adopt(next)) readBlock(follow.position);
}

// follows takes a change. A live lot that was opened joins the queue; what else is not in the table is not for this page.
function follows(row) {
  const { after } = table.change(row);
  if (!after && isWhole(row) && row.live && table.rows.size < queueSize) table.put(row);
  if (after?.closed && row.lot !== sale.lot) table.rows.delete(row.lot);
  if (row.lot === sale.lot && row.hammer === 0) sure = false;
}

// coming are the open live lots that are not on the block, in the order in which they were put up.
function coming() {
  const open = [...table.rows.values()].filter((r) => !r.closed && r.live && r.lot !== sale.lot);
  return open.sort((a, b) => a.openedAt - b.openedAt || (a.lot < b.lot ? -1 : 1));
}

function drawClerk() {
  const row = table.get(sale.lot);
  drawBlock(row);
  drawButtons(row);
  floor.show(row);
  bids.render();
  const next = coming();
  queue.render(next.slice(0, 12).map((r) => [r.lot, r]));
  hide(byId("no-queue"), next.length > 0);
  if (row) say(row);
}

let drawn = null;
function drawBlock(row) {
  write(byId("block-note"), row ? `On the block · Lot ${row.lot}` : "On the block");
  write(byId("block-title"), row ? row.title : "No lot");
  const price = byId("price");
  if (drawn?.lot === row?.lot && drawn?.price !== row?.price) flash(price);
  write(price, row ? show(row.bids ? row.price : row.opening) : "–");
  write(byId("leader"), row ? leader(row) : "Call up the first lot to begin.");
  mark(byId("leader"), "from", row?.leader ? (fromRoom(row.leader) ? "room" : "online") : "");
  write(byId("hammer"), row ? stateOf(row) : "");
  mark(byId("hammer"), "times", row?.closed ? "sold" : String(row?.hammer ?? 0));
  drawn = row;
}

function leader(row) {
  if (!row.leader) return row.closed ? "Nobody bid." : "Opening bid. Nobody has bid yet.";
  const from = fromRoom(row.leader) ? "in the room" : "online";
  return `${who(row.leader)}, ${from} · ${bidsOf(row.bids)}`;
}

function drawButtons(row) {
  const open = Boolean(row) && !row.closed;
  const next = coming()[0];
  const focused = document.activeElement;
  byId("raise").disabled = !open || row.hammer >= 2;
  write(byId("raise-text"), open && row.hammer >= 1 ? "Going twice" : "Going once");
  byId("close").disabled = !open;
  write(byId("close-text"), sure ? "Really close?" : open && !row.leader ? "Close, not sold" : "Sold");
  byId("call").disabled = !next;
  if (focused.disabled) passFocus();
}

// passFocus hands the focus of a button that has had its time to the one that comes next.
function passFocus() {
  ["raise", "close", "call", "main"].map(byId).find((node) => !node.disabled)?.focus();
}

// say tells the clerk's screen reader what came in.
function say(row) {
  if (said && said.lot === row.lot && row.version > said.version && row.bids > said.bids) announce(`${show(row.price)}, ${leader(row)}`);
  said = row;
}

function queued() {
  const link = make("a", {});
  const opening = make("span", { class: "num quiet" });
  const node = make("li", {}, link, " ", opening);
  const update = (row) => {
    write(link, row.title);
    link.href = lotPath(row.lot);
    write(opening, row.bids ? show(row.price) : `opens at ${show(row.opening)}`);
  };
  return { node, update };
}

const press = {
  raise() {
    const row = table.get(sale.lot);
    if (!byId("raise").disabled && desk.free) desk.submit(begin("lot", row.lot, "RaiseHammer", {}, row.version));
  },
  close() {
    const row = table.get(sale.lot);
    if (byId("close").disabled) return;
    if (row.hammer < 2 && !sure) {
      sure = true;
      announce("Not gone twice yet. Press again to close the lot.");
      draw(drawClerk);
      return;
    }
    if (desk.free) desk.submit(begin("lot", row.lot, "CloseLot", {}, row.version));
  },
  call() {
    const next = coming()[0];
    if (next) desk.submit(begin("sale", saleName, "CallUp", { lot: next.lot }));
  },
};

function answered(body, command) {
  sure = false;
  if (command.path.endsWith("/CallUp")) {
    callUp(saleOf(body));
    draw(drawClerk);
  }
  if (!command.path.endsWith("/CloseLot")) return "";
  return body.leader ? `Sold to ${who(body.leader)} for ${show(Number(body.priceCents))}.` : "Closed without a bid.";
}

function refused(refusal) {
  sure = false;
  draw(drawClerk);
  if (refusal.status === 412) return "A bid came in just before. Look at the price, then say it again.";
  if (refusal.code === "closed") return "The lot is closed already.";
  return explain(refusal);
}

for (const [name, action] of Object.entries(press)) byId(name).addEventListener("click", action);
listenToKeys({ g: press.raise, s: press.close, n: press.call, p: () => floor.to("paddle"), a: () => floor.to("amount") });
write(byId("sale"), saleName);
let follow;
follow = new Follow({ load, change });
desk.resume();
