import { integer } from "./money.js";

// What answers and stream say about lots and bids, as values of JavaScript. Protobuf's JSON leaves
// out what is zero, and writes 64-bit integers as strings.

const time = (text) => (text ? Date.parse(text) : 0);
const text = (value) => value ?? "";
const truth = (value) => value ?? false;
const count = (value) => value ?? 0;

// The members of a row: what each is called in JSON, and how it is read.
const members = Object.entries({
  lot: ["lot", text],
  title: ["title", text],
  live: ["live", truth],
  closed: ["closed", truth],
  price: ["priceCents", integer],
  opening: ["openingCents", integer],
  leader: ["leader", text],
  next: ["nextBidCents", integer],
  bids: ["bidCount", integer],
  openedAt: ["openedAt", time],
  closesAt: ["closesAt", time],
  closedAt: ["closedAt", time],
  hammer: ["hammer", count],
  version: ["version", integer],
});

// rowOf reads a row of an answer: what is not there is zero.
export function rowOf(json) {
  return Object.fromEntries(members.map(([name, [key, read]]) => [name, read(json[key])]));
}

// partOf reads a row of the stream, which has only what one event tells, zeros too: what is not there is as it
// was. The event that opens a lot tells all there is.
export function partOf(json) {
  if ("title" in json) return rowOf(json);
  return Object.fromEntries(members.filter(([, [key]]) => key in json).map(([name, [key, read]]) => [name, read(json[key])]));
}

// isWhole tells whether a row of the stream can stand for itself.
export const isWhole = (row) => row.title !== undefined;

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
