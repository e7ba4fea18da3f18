// Drawing waits for the next frame, however many messages come before it: a page
// under hundreds of bids a second draws as often as the screen does.

const waiting = new Set();
let planned = false;

// A window that is not drawn gets no frames; it still shows the right thing at once when looked at.
const patience = 200; // ms

export function draw(work) {
  waiting.add(work);
  if (planned) return;
  planned = true;
  const timer = setTimeout(run, patience);
  const frame = requestAnimationFrame(run);
  function run() {
    clearTimeout(timer);
    cancelAnimationFrame(frame);
    planned = false;
    const now = [...waiting];
    waiting.clear();
    for (const each of now) each();
  }
}
