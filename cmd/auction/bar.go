package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// bar shows how far a replay is: drawn in place on a terminal, else a line for each tenth. It may be used concurrently.
type bar struct {
	mu          sync.Mutex
	w           io.Writer
	terminal    bool
	done, total int
	drawn       time.Time
}

const (
	barWidth = 40
	barEvery = 100 * time.Millisecond
)

func startBar(w io.Writer, terminal bool, total int) *bar {
	return &bar{w: w, terminal: terminal, total: total}
}

// add counts one more.
func (b *bar) add() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done++
	switch {
	case !b.terminal && b.done*10/b.total > (b.done-1)*10/b.total:
		fmt.Fprintf(b.w, "%d of %d bids\n", b.done, b.total)
	case b.terminal && time.Since(b.drawn) >= barEvery:
		b.draw()
	}
}

// end leaves the last picture on the terminal.
func (b *bar) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.terminal {
		b.draw()
		fmt.Fprintln(b.w)
	}
}

func (b *bar) draw() {
	b.drawn = time.Now()
	full := b.done * barWidth / b.total
	fmt.Fprintf(b.w, "\r[%s%s] %d of %d bids", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), b.done, b.total)
}
