import { byId } from "./dom.js";

// Single keys work while nobody types, and can be switched off: voice control and
// a book on the keyboard press them by accident.

const stored = "clerk-keys";

export function listenToKeys(actions) {
  const on = byId("keys-on");
  on.checked = localStorage.getItem(stored) !== "off";
  on.addEventListener("change", () => localStorage.setItem(stored, on.checked ? "on" : "off"));
  document.addEventListener("keydown", (e) => {
    if (e.key === "Escape" && typing(e.target)) return e.target.blur();
    const action = actions[e.key.toLowerCase()];
    if (!action || !on.checked || e.repeat || e.ctrlKey || e.metaKey || e.altKey || typing(e.target)) return;
    e.preventDefault();
    action();
  });
}

const typing = (node) => node instanceof Element && node.matches("input:not([type=checkbox]), textarea, select, [contenteditable]");
