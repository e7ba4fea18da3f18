import { announce } from "./announce.js";
import { get, insist } from "./api.js";
import { BidBox } from "./bidbox.js";
import { everySecond } from "./clock.js";
import { byId, flash, hide, mark, write } from "./dom.js";
import { draw } from "./frame.js";
import { History } from "./history.js";
import { show } from "./money.js";
import { problem } from "./problem.js";
import { bidOf, pathPart, rowOf, who } from "./rows.js";
import { bidsOf, leaderOf, nextOf, priceOf, soon, stateMark, stateOf, timeOf } from "./standing.js";
import { Follow } from "./stream.js";
import { Table } from "./table.js";

// One lot: how it stands, its bids, and a box to bid in.

const id = pathPart(1);
const pageSize = 50;
const olderSize = 200;

const table = new Table();
let row = null;
let shown = null; // the row that is on the screen
let older = { token: "", before: 0 }; // where the next page of older bids begins

const bids = new History(byId("bids"), byId("no-bids"));
const box = new BidBox(id);

async function load() {
  try {
    const { body, token } = await insist(() => get(`/v1/lots/${encodeURIComponent(id)}?page_size=${pageSize}`, follow?.position ?? ""));
    row = table.put(rowOf(body.row ?? {}));
    bids.join((body.bids ?? []).map(bidOf));
    draw(drawLot);
    return token;
  } catch (why) {
    problem(why.status === 404 || why.status === 409 ? `There is no lot “${id}”.` : why.message);
    throw why;
  }
}

function change(event) {
  for (const each of event.rows) if (each.lot === id) row = table.change(each).after ?? row;
  for (const bid of event.bids) if (bid.lot === id && !bids.add(bid)) return follow.restart();
  draw(drawLot);
}

function drawLot() {
  hide(byId("lot"), false);
  drawHead();
  drawFigures();
  bids.render();
  hide(byId("older"), bids.whole);
  box.show(row, [...bids.bids.values()]);
  if (shown && row.version > shown.version) say();
  shown = row;
}

function drawHead() {
  document.title = row.bids ? `${show(row.price)} · ${row.title}` : row.title;
  write(byId("title"), row.title);
  write(byId("state"), stateOf(row));
  mark(byId("state"), "state", stateMark(row));
  write(byId("id"), `Lot ${row.lot}`);
}

function drawFigures() {
  if (shown && shown.price !== row.price) flash(byId("price"));
  write(byId("price-label"), row.closed ? "Sold for" : "Price");
  write(byId("price"), priceOf(row));
  write(byId("leader-label"), row.closed ? "Winner" : "Leads");
  write(byId("leader"), leaderOf(row));
  write(byId("next-bid"), nextOf(row));
  write(byId("opening"), show(row.opening));
  write(byId("bid-count"), row.bids.toLocaleString("en"));
  drawTime();
}

function drawTime() {
  if (!row) return;
  write(byId("left-label"), row.closed ? "Closed" : row.live ? "In the room" : "Time left");
  write(byId("left"), timeOf(row));
  mark(byId("left"), "soon", String(soon(row)));
}

// say tells those who do not see the page what has happened. Their own bids are told by the bid box.
function say() {
  if (row.closed) announce(row.leader ? `Sold to ${who(row.leader)} for ${show(row.price)}. ${box.words}` : "Closed without a bid.");
  else if (row.hammer > shown.hammer) announce(`${stateOf(row)} at ${show(row.price)}.`);
  else if (row.bids > shown.bids) announce(`${show(row.price)}, ${who(row.leader)} leads after ${bidsOf(row.bids)}. ${box.words}`);
}

// readOlder reads on where the list ends. If its end has been dropped meanwhile, it begins
// at the newest bid again.
async function readOlder() {
  const end = bids.oldest;
  let token = older.before === end ? older.token : "";
  do {
    const { body } = await insist(() => get(`/v1/lots/${encodeURIComponent(id)}?page_size=${olderSize}&page_token=${encodeURIComponent(token)}`));
    const page = (body.bids ?? []).map(bidOf);
    bids.join(page);
    token = body.nextPageToken ?? "";
    older = { token, before: page.at(-1)?.number ?? 0 };
  } while (token && bids.oldest >= end);
  return end - bids.oldest;
}

byId("older").addEventListener("click", async () => {
  bids.more(olderSize);
  const n = await readOlder();
  draw(drawLot);
  announce(`${n} older bids`);
  if (bids.whole) byId("history-head").focus();
});

let follow;
follow = new Follow({ load, change, lot: id });
everySecond(drawTime);
