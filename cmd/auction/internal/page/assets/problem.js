import { announce } from "./announce.js";
import { byId, hide, write } from "./dom.js";

// problem shows a sentence above the page's content; an empty one takes it away.
export function problem(sentence) {
  const node = byId("problem");
  if (sentence && node.textContent !== sentence) announce(sentence);
  write(node, sentence);
  hide(node, sentence === "");
}
