package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// bar shows on a terminal how many records are done. Anywhere else it is silent. It is
// used by one goroutine at a time.
type bar struct {
	out   io.Writer // nil: silent
	shown int       // per mille
}

func newBar(out io.Writer) *bar {
	b := &bar{shown: -1}
	if file, ok := out.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			b.out = out
		}
	}
	return b
}

// tell draws the bar again once it looks different.
func (b *bar) tell(done, total uint64) {
	if b.out == nil || total == 0 {
		return
	}
	mille := int(1000 * float64(done) / float64(total))
	if mille == b.shown {
		return
	}
	b.shown = mille
	const width = 40
	full := mille * width / 1000
	_, _ = fmt.Fprintf(b.out, "\r[%s%s] %5.1f %% of %d records ", strings.Repeat("#", full), strings.Repeat(" ", width-full), float64(mille)/10, total)
}

// end leaves the bar's line.
func (b *bar) end() {
	if b.shown >= 0 {
		_, _ = fmt.Fprintln(b.out)
	}
}
