package machine

import "time"

// slices is how many parts a window has. Calls leave it a slice at a time.
const slices = 10

// window counts the calls of the last while.
type window struct {
	width time.Duration // of a slice; 0: there is no window
	head  int64         // the number of the newest slice
	ring  [slices]struct{ failed, all int }
}

// resize gives the window another length. What it has counted stays, as if it had just been.
func (w *window) resize(length, now time.Duration) {
	failed, all := w.totals(now)
	*w = window{width: length / slices}
	if w.width == 0 {
		return
	}
	w.head = int64(now / w.width)
	newest := &w.ring[w.head%slices]
	newest.failed, newest.all = failed, all
}

func (w *window) add(failed bool, now time.Duration) {
	w.advance(now)
	s := &w.ring[w.head%slices]
	s.all++
	if failed {
		s.failed++
	}
}

func (w *window) totals(now time.Duration) (failed, all int) {
	if w.width == 0 {
		return 0, 0
	}
	w.advance(now)
	for _, s := range w.ring {
		failed, all = failed+s.failed, all+s.all
	}
	return failed, all
}

// advance drops the slices that are too old.
func (w *window) advance(now time.Duration) {
	to := int64(now / w.width)
	for n := max(w.head+1, to-slices+1); n <= to; n++ {
		w.ring[n%slices] = struct{ failed, all int }{}
	}
	w.head = max(w.head, to)
}

func (w *window) clear() { clear(w.ring[:]) }
