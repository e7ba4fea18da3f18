import { heard } from "./clock.js";
import { problem } from "./problem.js";

// Reads. Each waits until the read model has seen what this page has seen, so that an answer
// never takes a page back in time.

const patience = 6000; // ms for one answer; the service is told a little less

// Refusal is an answer that is not the one asked for. Without a status there was no answer.
export class Refusal extends Error {
  constructor(status, body) {
    super(body?.reason ?? "");
    this.status = status;
    this.code = body?.code ?? "";
    this.remedy = body?.remedy ?? "";
    this.after = 0; // ms that the service asks us to wait
  }
}

// ask sends one request and returns {body, token, version}, or throws a Refusal.
export async function ask(path, options = {}) {
  const asked = Date.now();
  const limit = AbortSignal.timeout(patience);
  const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
  const headers = { "Skerry-Timeout": "5s", ...options.headers };
  let response, body;
  try {
    response = await fetch(path, { ...options, headers, signal, cache: "no-store" });
    body = await response.json();
  } catch (broken) {
    if (options.signal?.aborted) throw broken;
    throw new Refusal(response && !response.ok ? response.status : 0);
  }
  heard(response.headers.get("Date"), asked, Date.now());
  if (!response.ok) {
    const refusal = new Refusal(response.status, body);
    refusal.after = 1000 * (Number(response.headers.get("Retry-After")) || 0);
    throw refusal;
  }
  return { body, token: response.headers.get("Skerry-Token") ?? "", version: response.headers.get("ETag") ?? "" };
}

// get reads what is at path, as new as seen at least; seen is a position, or empty.
export function get(path, seen, signal) {
  return ask(path, { signal, headers: seen ? { "Skerry-Token": seen } : {} });
}

const longest = 5000; // ms between two tries

// insist repeats a read until it succeeds, or is no longer wanted, or asks for what
// does not exist; and says on the page that it is trying.
export async function insist(read, signal) {
  for (let pause = 300; ; pause = Math.min(2 * pause, longest)) {
    try {
      const answer = await read();
      problem("");
      return answer;
    } catch (refused) {
      if (signal?.aborted) throw refused;
      if (refused.status >= 400 && refused.status < 500 && refused.status !== 429) throw refused;
      problem("The auction house does not answer. This page keeps asking.");
      await wait(Math.max(pause, Math.min(refused.after ?? 0, longest)));
    }
  }
}

// wait takes a little more or less, so that a thousand pages do not come back at once.
export const wait = (ms) => new Promise((done) => setTimeout(done, ms * (0.75 + Math.random() / 2)));

// versionOf reads the version of an entity out of an ETag.
export const versionOf = (tag) => Number(tag.replaceAll('"', "")) || 0;
