import { get, insist } from "./api.js";
import { moment } from "./clock.js";
import { Keyed, byId, hide, make, mark, write } from "./dom.js";
import { draw } from "./frame.js";
import { integer, show } from "./money.js";
import { problem } from "./problem.js";
import { bidOf, lotPath, pathPart, who } from "./rows.js";
import { Follow } from "./stream.js";

// A bidder's bids over all lots, the newest first. The answer knows whether each lot is led or won, so the page
// is read again, at leisure, when one of its lots has changed.

const name = pathPart(1);
const pageSize = 50;
const most = 500; // bids on the page
const rereadPause = 1000; // ms

let bids = [];
let older = "";
const list = new Keyed(byId("rows"), line);

function line() {
  const link = make("a", { class: "lot-link" });
  const cell = (label, kind) => make("td", { role: "cell", class: kind, "data-label": label });
  const amount = cell("Bid", "num"), price = cell("Price now", "num"), at = cell("When", "num quiet");
  const chip = make("span", { class: "chip" });
  const stands = cell("Stands", "stands");
  stands.append(chip);
  const node = make("tr", { role: "row" }, make("th", { role: "rowheader", scope: "row", class: "lot-cell" }, link), amount, price, stands, at);
  const update = (b) => {
    write(link, b.title);
    link.href = lotPath(b.lot);
    write(amount, show(b.amount));
    write(price, show(b.lotPrice));
    write(chip, b.won ? "Won" : b.closed ? "Lost" : b.leads ? "Leads" : "Outbid");
    mark(chip, "mine", b.won ? "won" : b.closed ? "lost" : b.leads ? "leads" : "outbid");
    write(at, moment(b.at));
  };
  return { node, update };
}

const entryOf = (json) => ({
  ...bidOf(json.bid ?? {}), title: json.title ?? "", leads: json.leads ?? false, won: json.won ?? false,
  closed: json.closed ?? false, lotPrice: integer(json.lotPriceCents),
});

const path = (token) => `/v1/bidders/${encodeURIComponent(name)}/bids?page_size=${pageSize}${token ? `&page_token=${encodeURIComponent(token)}` : ""}`;

async function load() {
  const { body, token } = await insist(() => get(path(""), follow?.position ?? "")).catch(refused);
  bids = (body.bids ?? []).map(entryOf);
  older = body.nextPageToken ?? "";
  draw(drawBids);
  return token;
}

function drawBids() {
  list.render(bids.map((b) => [`${b.number} ${b.lot}`, b]));
  hide(byId("empty"), bids.length > 0);
  hide(byId("older"), older === "");
}

byId("older").addEventListener("click", async () => {
  const { body } = await insist(() => get(path(older)));
  bids = [...bids, ...(body.bids ?? []).map(entryOf)];
  older = bids.length < most ? body.nextPageToken ?? "" : "";
  draw(drawBids);
});

// Reading again shows the newest page: older ones are behind the button.
let rereading = null;
function change({ rows, bids: came }) {
  const here = new Set(bids.map((b) => b.lot));
  if (!came.some((b) => b.bidder === name) && !rows.some((r) => here.has(r.lot))) return;
  rereading ??= setTimeout(() => {
    rereading = null;
    load().catch(() => {}); // it has been said
  }, rereadPause);
}

write(byId("title"), who(name));
document.title = `${who(name)} · Skerry auction house`;
function refused(why) {
  problem(why.message || "The list cannot be shown.");
  throw why;
}

let follow;
follow = new Follow({ load, change });
