package transport

import (
	"context"
	"errors"
	"time"

	"github.com/skerryhq/skerry/entity"
)

// subjectCheck is that of envelopes which the transport itself answers.
const subjectCheck = "skerry/transport/check"

const (
	// checkPatience is how long Check waits at most.
	checkPatience = time.Second
	// checkTries is how often Check asks: a connection that broke just now is made again.
	checkTries = 4
)

// Check asks whether a process is there now. It returns nil if that answered, else an error: ErrGone if it has ended, ErrRefused if it is
// of another cluster, another ErrUnreachable if it cannot be reached, ErrLost if no answer came before ctx ended, or within a second.
//
// It keeps the connection in use, so that the end of the process is noticed when it comes (see Config.Gone).
func Check(ctx context.Context, t Transport, who Peer) error {
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	at, _ := ctx.Deadline()
	for try := 1; ; try++ {
		err := Ask(ctx, t, who, &Envelope{Subject: subjectCheck, Remaining: time.Until(at)}).Err
		switch {
		case err == nil || errors.Is(err, ErrGone) || errors.Is(err, ErrRefused) || errors.Is(err, ErrClosed):
			return err
		case !errors.Is(err, ErrUnreachable) && ctx.Err() != nil:
			return errors.Join(ErrLost, err)
		case try == checkTries || !pause(ctx, restOf(err)):
			return err
		}
	}
}

// restOf is how long the peer is left alone.
func restOf(err error) time.Duration {
	var failed *entity.Error
	if errors.As(err, &failed) {
		return failed.RetryAfter
	}
	return 0
}
