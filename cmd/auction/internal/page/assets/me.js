// Who the user says they are, and which lots they have bid on. The sample asks nobody
// for a proof. All of it stays in this browser.

const most = 200; // lots that are remembered

function read(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function store(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch {
    // Without storage the name is typed again next time.
  }
}

export const myName = () => String(read("bidder", ""));
export const setMyName = (name) => store("bidder", name);

// myMaximum is the highest bid that this browser has sent to a lot for a name; 0 if none.
export function myMaximum(lot, name) {
  const entry = read("maxima", []).find(([l, n]) => l === lot && n === name);
  return Number(entry?.[2] ?? 0);
}

export function setMyMaximum(lot, name, cents) {
  const others = read("maxima", []).filter(([l, n]) => l !== lot || n !== name);
  store("maxima", [[lot, name, cents], ...others].slice(0, most));
}

// myLots are the lots that name has bid on from here.
export function myLots(name) {
  return new Set(read("maxima", []).filter(([, n]) => n === name).map(([l]) => l));
}

// mineOf says how name stands on a lot that they have bid on.
export function mineOf(row, name, bid) {
  if (!name || !(bid || row.leader === name)) return "";
  if (row.leader === name) return row.closed ? "won" : "leads";
  return row.closed ? "lost" : "outbid";
}
