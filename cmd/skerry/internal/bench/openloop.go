package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
)

// openLoop sends commands at a rate, each at its time, whether or not those before are answered: a command that
// waits holds up no other, and its wait counts from when it was due.
type openLoop struct {
	caller   entity.Caller
	rate     int
	entities int
	payload  []byte

	began   time.Time
	stopped atomic.Bool
	working sync.WaitGroup

	mu   sync.Mutex
	sent []sample // by the number of the command
}

// sample is one command and what its caller was told.
type sample struct {
	entity int
	// due is when it was to be sent, began when it was, ended when its caller knew: from the begin of the loop.
	due, began, ended time.Duration
	// version is the entity's after the command, if err is nil.
	version uint64
	err     error
}

// numberBytes are those at the begin of a payload that hold the number of its command.
const numberBytes = 8

// run sends until stop is called, and returns when all commands are answered.
func (l *openLoop) run(ctx context.Context) {
	l.began = time.Now()
	for !l.stopped.Load() && ctx.Err() == nil {
		for due := int(time.Since(l.began).Seconds() * float64(l.rate)); len(l.sent) <= due; {
			l.send(ctx)
		}
		_ = pause(ctx, pace) // ctx is looked at above
	}
	l.working.Wait()
}

// at is the time of the loop.
func (l *openLoop) at() time.Duration { return time.Since(l.began) }

// send sends the next command. Each entity gets its commands at even distances.
func (l *openLoop) send(ctx context.Context) {
	number := len(l.sent)
	s := sample{entity: number % l.entities, due: time.Duration(number) * time.Second / time.Duration(l.rate)}
	l.mu.Lock()
	l.sent = append(l.sent, s)
	l.mu.Unlock()
	payload := make([]byte, max(len(l.payload), numberBytes))
	copy(payload, l.payload)
	binary.BigEndian.PutUint64(payload, uint64(number)) //nolint:gosec // a count
	l.working.Go(func() {
		s.began = l.at()
		var r entity.Receipt
		_, s.err = deposit.Ask(ctx, ledgers.Ref(l.caller, entityID(s.entity)), wrapperspb.Bytes(payload), entity.Receive(&r))
		s.ended, s.version = l.at(), r.Version
		l.mu.Lock()
		defer l.mu.Unlock()
		l.sent[number] = s
	})
}

// stop ends the sending; run returns when all is answered.
func (l *openLoop) stop() { l.stopped.Store(true) }

// samples are all commands. Call it when run has returned.
func (l *openLoop) samples() []sample { return l.sent }

// mayHaveRun tells whether a command without an answer may be in the log all the same.
func (s sample) mayHaveRun() bool { return errors.Is(s.err, entity.ErrUnknownOutcome) }

// latency is what the caller has waited since the command was due.
func (s sample) latency() time.Duration { return s.ended - s.due }
