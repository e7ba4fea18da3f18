package transport

import "time"

// batch is what leaves a connection at a time.
type batch struct {
	// now is when it was gathered.
	now     time.Time
	calls   []*call
	answers []outAnswer
	parts   []part
	// goodbye tells that the connection is closed after it, for want of use.
	goodbye bool
}

func (b *batch) empty() bool { return len(b.calls)+len(b.answers)+len(b.parts) == 0 }

// clear lets go of what was sent, and keeps the memory.
func (b *batch) clear() {
	clear(b.calls)
	clear(b.answers)
	clear(b.parts)
	b.calls, b.answers, b.parts, b.goodbye = b.calls[:0], b.answers[:0], b.parts[:0], false
}

// write sends what is queued until the connection ends, and an empty batch when nothing was for a while.
func (c *conn) write() {
	ping := time.NewTimer(c.t.cfg.PingEvery)
	defer ping.Stop()
	w := writer{c: c, last: time.Now()}
	for {
		select {
		case <-c.over:
			return
		case <-c.wake:
			closing := c.closing.Load()
			w.flush()
			if closing {
				c.end(ErrClosed)
			}
		case <-ping.C:
			ping.Reset(w.tick())
		}
	}
}

// writer is the writing goroutine's memory.
type writer struct {
	c    *conn
	b    batch
	last time.Time
}

// flush writes until nothing is queued.
func (w *writer) flush() {
	for {
		w.gather()
		if w.b.empty() || !w.send() {
			return
		}
	}
}

// tick keeps the connection alive, or ends it when nobody needs it, and returns when to look again.
func (w *writer) tick() time.Duration {
	cfg := &w.c.t.cfg
	if w.c.asks != nil && w.c.asks.retire(w.c) {
		w.b.now, w.b.goodbye = time.Now(), true
		w.send()
		w.c.end(errIdle)
		return cfg.PingEvery
	}
	if quiet := time.Since(w.last); quiet < cfg.PingEvery {
		return cfg.PingEvery - quiet
	}
	w.b.now = time.Now()
	w.send()
	return cfg.PingEvery
}

// send sends the batch.
func (w *writer) send() bool {
	w.last = w.b.now
	if err := w.c.medium.send(&w.b); err != nil {
		w.c.end(w.c.why(err))
		return false
	}
	w.b.clear()
	return true
}

// gather takes what is queued, up to about gatherBytes of each sort: so a command waits for no more than
// that of a stream.
func (w *writer) gather() {
	c := w.c
	w.b.now = time.Now()
	if c.asks != nil {
		w.b.calls = c.asks.take(w.b.calls, w.b.now, c)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n, bytes := 0, 0
	for ; n < len(c.answers) && (n == 0 || bytes+c.answers[n].size <= gatherBytes); n++ {
		bytes += c.answers[n].size
	}
	w.b.answers = append(w.b.answers, c.answers[:n]...)
	c.answers = dropFirst(c.answers, n)
	c.answerBytes -= bytes
	n, bytes = 0, 0
	for ; n < len(c.parts) && bytes < gatherBytes/2; n++ {
		bytes += partOverhead + len(c.parts[n].data)
	}
	w.b.parts = append(w.b.parts, c.parts[:n]...)
	c.parts = dropFirst(c.parts, n)
}

// dropFirst removes the first n of a queue and keeps its memory when it is empty.
func dropFirst[T any](queue []T, n int) []T {
	clear(queue[:n])
	if n == len(queue) {
		return queue[:0]
	}
	return queue[n:]
}
