// Table holds whole rows, whichever comes first: the answer to a read, or a change since. Changes are parts of
// rows, merged by version: of two that tell the same, the one with the higher version wins. Rows are values: a
// changed one is a new object.

const most = 20_000; // rows that are kept while a read is under way

export class Table {
  constructor() {
    this.rows = new Map();
    this.reads = 0;
    this.held = new Map(); // lot → all that the stream has told of it since the oldest read under way was sent
  }

  get(lot) {
    return this.rows.get(lot);
  }

  // during runs a read. What changes meanwhile is kept for lots that the answer brings.
  async during(read) {
    this.reads++;
    try {
      return await read();
    } finally {
      if (--this.reads === 0) this.held.clear();
    }
  }

  // full tells that more changed during a read than could be kept: its answer may be too old.
  get full() {
    return this.held.size >= most;
  }

  // put takes a whole row, and returns the newest that is known of its lot.
  put(row) {
    const best = newer(newer(this.rows.get(row.lot), row), this.held.get(row.lot));
    this.rows.set(row.lot, best);
    return best;
  }

  // change takes a part of a row, and returns the whole row before and after; nothing if the lot is not in the table.
  change(row) {
    if (this.reads && !this.full) this.held.set(row.lot, newer(this.held.get(row.lot), row));
    const before = this.rows.get(row.lot);
    if (!before) return {};
    const after = newer(before, row);
    this.rows.set(row.lot, after);
    return { before, after };
  }

  // keep forgets all rows but these.
  keep(lots) {
    const wanted = new Set(lots);
    for (const lot of this.rows.keys()) if (!wanted.has(lot)) this.rows.delete(lot);
  }
}

// newer merges what is news into a row or a part of one. Either may be missing.
const newer = (have, news) => (!news || (have && have.version >= news.version) ? have : { ...have, ...news });
