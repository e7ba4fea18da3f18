import { Refusal, ask, wait } from "./api.js";

// A command is sent under a key of its own until its fate is known. The lot runs a key once, so that
// sending it again can do no harm, as long as the service surely remembers the key: 120 s.

const patience = 110_000; // ms from the first try to the last
const longest = 4000; // ms between two tries

// Silence is thrown when no answer came in time. ran tells what is known: "no", or "maybe".
export class Silence extends Error {
  constructor(ran) {
    super("no answer");
    this.ran = ran;
  }
}

// begin makes a command and gives it its key. It is a plain value, and may be stored.
export function begin(type, id, name, body, match) {
  return { path: `/v1/entities/${type}/${encodeURIComponent(id)}/${name}`, body, match, key: newKey(), since: Date.now() };
}

// newKey is 128 random bits. (crypto.randomUUID is not there on plain HTTP.)
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}

// send returns the answer, or throws a Refusal (the answer is no) or a Silence. waiting is called
// after each try that left the matter open, with what is known: "no" if the command has surely not run so far, "maybe" if
// it may have.
export async function send(command, waiting) {
  let ran = command.ran ?? "no";
  const end = command.since + patience;
  for (let pause = 250; ; pause = Math.min(2 * pause, longest)) {
    try {
      return await once(command);
    } catch (refused) {
      if (!(refused instanceof Refusal) || final(refused, ran)) throw refused;
      if (unknown(refused)) ran = "maybe";
      command.ran = ran;
      if (Date.now() + pause > end) throw new Silence(ran);
      waiting(ran);
      await wait(Math.max(pause, Math.min(refused.after, longest)));
    }
  }
}

// once tries once more. The service may answer late, but not later than our own patience.
function once({ path, body, key, match }) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": key };
  if (match) headers["If-Match"] = `"${match}"`;
  return ask(path, { method: "POST", body: JSON.stringify(body), headers });
}

// unknown tells whether a command may have run although it was not answered.
const unknown = ({ status, code }) => status === 0 || status === 504 || status === 502 || code === "skerry/unknown-outcome";

// verdicts are the refusals that the entity itself has decided on: no, not at this version, not with this key.
const verdicts = [409, 412, 422];

// final tells whether a refusal ends the matter. Once an attempt may have run, only the entity can tell: that a
// later attempt failed says nothing about it.
function final(refused, ran) {
  if (ran === "maybe") return verdicts.includes(refused.status);
  return !unknown(refused) && refused.status !== 429 && refused.status !== 503;
}

// The pending command of a page outlives a reload: it may have run, and only its key can tell.

export function keep(name, command) {
  try {
    if (command) sessionStorage.setItem(`pending:${name}`, JSON.stringify(command));
    else sessionStorage.removeItem(`pending:${name}`);
  } catch {
    // Without storage a reload forgets the key; nothing else is lost.
  }
}

// kept returns the pending command that this page had before it was loaded again, if its key is still sure to be known. It
// may have run: an attempt may have been under way when the page was left.
export function kept(name) {
  try {
    const command = JSON.parse(sessionStorage.getItem(`pending:${name}`) ?? "null");
    return command && Date.now() - command.since < patience ? { ...command, ran: "maybe" } : null;
  } catch {
    return null;
  }
}
