// Table holds rows as far as they are known, whichever comes first: the answer to a read, or a change
// since. Of two rows of a lot the one with the higher version wins. Rows are values: a changed one is a new object.

const most = 20_000; // rows that are kept while a read is under way

export class Table {
  constructor() {
    this.rows = new Map();
    this.reads = 0;
    this.held = new Map(); // lot → newest row that came since the oldest read under way was sent
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

  // put takes a row, and returns the newest that is known of its lot.
  put(row) {
    const best = newer(newer(this.rows.get(row.lot), row), this.held.get(row.lot));
    this.rows.set(row.lot, best);
    return best;
  }

  // change takes a row of the stream, and returns the rows before and after; nothing if the lot is not in the table.
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

// newer returns the one of two rows that tells more. Either may be missing.
const newer = (have, row) => (!row || (have && have.version >= row.version) ? have : row);
