import { get, insist } from "./api.js";
import { moment } from "./clock.js";
import { Keyed, byId, flash, hide, make, write } from "./dom.js";
import { draw } from "./frame.js";
import { show } from "./money.js";
import { problem } from "./problem.js";
import { bidderPath, lotPath, rowOf, who } from "./rows.js";
import { Follow } from "./stream.js";

// The closed lots, the last one first. The stream tells that one has closed and not what it was: the newest results are read
// again then, once for all that close within a moment.

const pageSize = 50;
const most = 1000; // results on the page
const rereadPause = 250; // ms

let results = new Map(); // lot → row, newest first
let older = "";
let live = false;
const list = new Keyed(byId("rows"), line);

function line() {
  const link = make("a", { class: "lot-link" });
  const winner = make("a", {});
  const cell = (label, kind) => make("td", { role: "cell", class: kind, "data-label": label });
  const price = cell("Sold for", "num price"), to = cell("To", "leader"), bids = cell("Bids", "num"), at = cell("Closed", "num quiet");
  const node = make("tr", { role: "row" }, make("th", { role: "rowheader", scope: "row", class: "lot-cell" }, link), price, to, bids, at);
  const update = (row) => {
    node.dataset.lot = row.lot;
    write(link, row.title);
    link.href = lotPath(row.lot);
    write(price, row.leader ? show(row.price) : "Not sold");
    to.replaceChildren(row.leader ? winner : "–");
    write(winner, who(row.leader));
    winner.href = bidderPath(row.leader);
    write(bids, row.bids.toLocaleString("en"));
    write(at, moment(row.closedAt));
    if (live) flash(price);
  };
  return { node, update };
}

async function load() {
  const { body, token } = await insist(() => get(`/v1/results?page_size=${pageSize}`, follow?.position ?? "")).catch(refused);
  const newest = new Map((body.lots ?? []).map((json) => [json.lot, results.get(json.lot) ?? rowOf(json)]));
  const joins = [...newest.keys()].some((lot) => results.has(lot));
  if (!joins) older = body.nextPageToken ?? "";
  results = new Map([...newest, ...(joins ? [...results].filter(([lot]) => !newest.has(lot)) : [])].slice(0, most));
  draw(drawResults);
  return token;
}

function drawResults() {
  list.render([...results]);
  live = true;
  hide(byId("empty"), results.size > 0);
  hide(byId("older"), older === "");
}

let rereading = null;
function change({ rows }) {
  if (!rows.some((row) => row.closed && !results.has(row.lot))) return;
  rereading ??= setTimeout(() => {
    rereading = null;
    load().catch(() => {}); // it has been said
  }, rereadPause);
}

byId("older").addEventListener("click", async () => {
  const { body } = await insist(() => get(`/v1/results?page_size=${pageSize}&page_token=${encodeURIComponent(older)}`));
  for (const json of body.lots ?? []) if (!results.has(json.lot)) results.set(json.lot, rowOf(json));
  older = results.size < most ? body.nextPageToken ?? "" : "";
  live = false;
  draw(drawResults);
});

function refused(why) {
  problem(why.message || "The list cannot be shown.");
  throw why;
}

let follow;
follow = new Follow({ load, change });
