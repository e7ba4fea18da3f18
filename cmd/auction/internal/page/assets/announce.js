import { byId } from "./dom.js";

// One polite live region speaks for the whole page, and not more often than a person can listen:
// what was not said yet is replaced by what is true now.

const pause = 3000; // ms between two sentences
let next = "";
let quiet = true;

export function announce(sentence) {
  next = sentence;
  if (quiet) speak();
}

function speak() {
  quiet = next === "";
  if (quiet) return;
  byId("announcer").textContent = next;
  next = "";
  setTimeout(speak, pause);
}
