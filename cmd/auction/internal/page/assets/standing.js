import { left, moment } from "./clock.js";
import { show } from "./money.js";
import { who } from "./rows.js";

// How a lot stands, in words. All pages use the same.

const hammers = ["Live", "Going once", "Going twice"];

export function stateOf(row) {
  if (row.closed) return row.leader ? "Sold" : "Not sold";
  if (row.live) return hammers[row.hammer] ?? hammers[0];
  return "Open";
}

// stateMark is the same for the style sheet.
export function stateMark(row) {
  if (row.closed) return row.leader ? "sold" : "unsold";
  if (row.live) return row.hammer ? "going" : "live";
  return "open";
}

// timeOf is what stands in the column of time: a countdown, the clerk's hammer, or when it was over.
export function timeOf(row) {
  if (row.closed) return row.closedAt ? moment(row.closedAt) : "closed";
  if (row.live) return hammers[row.hammer] ?? hammers[0];
  return left(row.closesAt);
}

// soon tells that a timed lot is in its last minute.
export function soon(row) {
  const text = row.closed || row.live ? "" : left(row.closesAt);
  return text === "closing" || text.startsWith("0:");
}

export const priceOf = (row) => (row.bids ? show(row.price) : "–");
export const nextOf = (row) => (row.closed || !row.next ? "–" : show(row.next));
export const leaderOf = (row) => (row.leader ? who(row.leader) : "–");
export const bidsOf = (n) => (n === 1 ? "1 bid" : `${n.toLocaleString("en")} bids`);
