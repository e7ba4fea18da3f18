import { integer } from "./money.js";

// What answers and stream say about lots and bids, as values of JavaScript. Protobuf's JSON leaves
// out what is zero, and writes 64-bit integers as strings.

const time = (text) => (text ? Date.parse(text) : 0);

export function rowOf(json) {
  return {
    lot: json.lot ?? "",
    title: json.title ?? "",
    live: json.live ?? false,
    closed: json.closed ?? false,
    price: integer(json.priceCents),
    opening: integer(json.openingCents),
    leader: json.leader ?? "",
    next: integer(json.nextBidCents),
    bids: integer(json.bidCount),
    openedAt: time(json.openedAt),
    closesAt: time(json.closesAt),
    closedAt: time(json.closedAt),
    hammer: json.hammer ?? 0,
    version: integer(json.version),
  };
}

export function bidOf(json) {
  return {
    lot: json.lot ?? "",
    number: integer(json.number),
    bidder: json.bidder ?? "",
    paddle: json.paddle ?? 0,
    amount: integer(json.amountCents),
    price: integer(json.priceCents),
    at: time(json.at),
  };
}

export function saleOf(json) {
  return { sale: json.sale ?? "", lot: json.lot ?? "", count: integer(json.count) };
}

// fromRoom tells whether a leader holds a paddle. The lot allows no such name to others.
export const fromRoom = (leader) => /^paddle [0-9]+$/.test(leader);

// who writes a bidder or a leader for people.
export const who = (name) => (fromRoom(name) ? `Paddle ${name.slice(7)}` : name);

export const lotPath = (id) => `/lots/${encodeURIComponent(id)}`;
export const bidderPath = (name) => `/bidders/${encodeURIComponent(name)}`;

// pathPart reads the part of this page's own path that names something.
export function pathPart(n) {
  const part = location.pathname.split("/")[n + 1] ?? "";
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
