// What is shown is built from elements and text. No string ever becomes HTML.

export const byId = (id) => document.getElementById(id);

// make returns an element. Properties are set as attributes; children are elements or text.
export function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// write changes a text only if it is another: an equal one would still cost a layout.
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function mark(node, name, value) {
  if (node.dataset[name] !== value) node.dataset[name] = value;
}

export function hide(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden;
}

// flash lets a change be noticed. Two equal animations take turns, because starting one
// again would need the layout to be computed in between.
export function flash(node) {
  node.dataset.flash = node.dataset.flash === "a" ? "b" : "a";
}

// Keyed keeps one element per item of a list. Elements stay the same while their item is
// there, and with them focus, selection and the place of a screen reader.
export class Keyed {
  // create returns {node, update}; update(item, before) shows an item in the node.
  constructor(parent, create) {
    this.parent = parent;
    this.create = create;
    this.shown = new Map();
  }

  // render shows items, [key, item] in their order. Items are values: an unchanged one is the same object.
  render(items) {
    const gone = new Set(this.shown.keys());
    let place = this.parent.firstElementChild;
    for (const [key, item] of items) {
      gone.delete(key);
      const node = this.show(key, item);
      if (node === place) place = place.nextElementSibling;
      else this.parent.insertBefore(node, place);
    }
    for (const key of gone) {
      this.shown.get(key).node.remove();
      this.shown.delete(key);
    }
  }

  show(key, item) {
    let have = this.shown.get(key);
    if (!have) this.shown.set(key, (have = this.create(item)));
    if (have.item !== item) {
      have.update(item, have.item);
      have.item = item;
    }
    return have.node;
  }

  // update shows an item that is there already; others are ignored.
  update(key, item) {
    if (this.shown.has(key)) this.show(key, item);
  }
}

// prefill offers a value in a field that nobody has typed into. Who is about to replace it keeps all of it
// selected; who has put the caret somewhere is left alone.
export function prefill(field, text) {
  if (field.value === text) return;
  const here = document.activeElement === field;
  const all = field.selectionStart === 0 && field.selectionEnd === field.value.length;
  if (here && !all) return;
  field.value = text;
  if (here) field.select();
}
