// Money is an integer number of cents, from 1 to 10,000,000,000: a safe integer,
// and never a fraction of one. Answers write int64 as strings.

export const maxCents = 10_000_000_000;

const format = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

// integer reads a number of an answer; absent means 0.
export function integer(text) {
  const n = Number(text ?? 0);
  return Number.isSafeInteger(n) ? n : 0;
}

// plain writes an amount so that parse reads it back.
export function plain(cents) {
  const digits = String(cents).padStart(3, "0");
  return `${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

// show writes an amount for people. A decimal string keeps it exact all the way.
export function show(cents) {
  return format.format(plain(cents));
}

// parse reads 12, 12.5, 12.50 and 12,50, and returns null for anything else:
// "1,250" might mean two things, and a bid must not be guessed.
export function parse(text) {
  const found = /^\s*(\d{1,9})(?:[.,](\d{1,2}))?\s*$/.exec(text);
  if (!found) return null;
  const cents = Number(found[1]) * 100 + Number((found[2] ?? "").padEnd(2, "0"));
  return cents >= 1 && cents <= maxCents ? cents : null;
}
