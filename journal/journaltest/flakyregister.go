package journaltest

import (
	"context"
	"fmt"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// A Flaky's registers go wrong as its appends do. The journal behind it must have registers.
var _ journal.Registers = (*Flaky)(nil)

// Registers implements journal.Registers; nothing goes wrong here.
func (f *Flaky) Registers(ctx context.Context, space journal.Space, partition string) ([]journal.Register, error) {
	r, err := f.registers()
	if err != nil {
		return nil, err
	}
	return r.Registers(ctx, space, partition)
}

// Swap implements journal.Registers.
func (f *Flaky) Swap(ctx context.Context, space journal.Space, partition string, next journal.Register) (journal.Register, error) {
	r, err := f.registers()
	if err != nil {
		return journal.Register{}, err
	}
	what, delay := f.choose(next.Attempt)
	switch what {
	case stall:
		time.Sleep(delay)
	case refuse, lose:
		return journal.Register{}, ErrUnknown
	case forget:
		_, _ = r.Swap(ctx, space, partition, next)
		return journal.Register{}, ErrUnknown
	case late:
		f.late.Go(func() {
			time.Sleep(delay)
			_, _ = r.Swap(context.WithoutCancel(ctx), space, partition, next)
		})
		return journal.Register{}, ErrUnknown
	}
	return r.Swap(ctx, space, partition, next)
}

func (f *Flaky) registers() (journal.Registers, error) {
	r, ok := f.Journal.(journal.Registers)
	if !ok {
		return nil, fmt.Errorf("%w: %T has no registers", journal.ErrInvalid, f.Journal)
	}
	return r, nil
}
