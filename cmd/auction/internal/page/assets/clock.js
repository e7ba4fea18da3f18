// Time left is counted by the server's clock; this browser's may be off by hours. Each answer and
// each event narrows down how far: the server's time was at least what it wrote when we
// read it, and at most that (plus the second that a Date header hides) when we asked.

let least = -Infinity; // bounds of server time minus ours, in ms
let most = Infinity;

// A clock that was set while the page was open contradicts what was learned: start again.
function narrow(low, high) {
  least = Math.max(least, low);
  most = Math.min(most, high);
  if (least > most) [least, most] = [low, high];
}

// heard takes a server's Date header, and when, by our clock, it was asked and read.
export function heard(date, asked, read) {
  const at = Date.parse(date ?? "");
  if (!Number.isNaN(at)) narrow(at - read, at + 1000 - asked);
}

// saw takes the time of an event that has just arrived.
export function saw(at) {
  if (at > 0) narrow(at - Date.now(), Infinity);
}

// now is the server's time in ms.
export function now() {
  if (least === -Infinity) return Date.now();
  return Date.now() + (most === Infinity ? least : (least + most) / 2);
}

// everySecond calls tick just after each full second of the server, so that
// all countdowns of a page, and of all pages, step together.
export function everySecond(tick) {
  tick();
  setTimeout(() => everySecond(tick), 1005 - (Math.floor(now()) % 1000));
}

const minute = 60, hour = 60 * minute, day = 24 * hour;

// left says how long it is until a time, more coarsely the further it is away.
export function left(until) {
  const s = Math.ceil((until - now()) / 1000);
  if (s <= 0) return "closing";
  if (s >= day) return `${Math.floor(s / day)} d ${Math.floor((s % day) / hour)} h`;
  if (s >= hour) return `${Math.floor(s / hour)} h ${Math.floor((s % hour) / minute)} min`;
  return `${Math.floor(s / minute)}:${String(s % minute).padStart(2, "0")}`;
}

const sameDay = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const otherDay = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

// moment writes a time of the past, in the reader's own zone.
export function moment(at) {
  const today = new Date().toDateString() === new Date(at).toDateString();
  return (today ? sameDay : otherDay).format(at);
}
