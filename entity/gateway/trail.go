package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/skerryhq/skerry/entity"
)

// trail is what is known of one call over all its attempts. Once one of them may have run,
// only an answer that speaks for all of them ends the call.
type trail struct {
	// attempt is the number of the next one. It rises when one was lost: from the second on
	// an entity stores its "no", so that a copy that is late cannot become a "yes".
	attempt int
	// doubt tells that an attempt may have run.
	doubt bool
	// yield, if not nil, makes room at a busy entity.
	yield func(*entity.Request)
	// readOnly calls have nothing to doubt.
	readOnly bool
	sent     int
	last     error
}

// ends takes the outcome of an attempt and tells whether it is the call's.
//
//	reply                    yes: under its key, all attempts have this one
//	rejection by the entity  yes: with doubt, the attempt number made it a stored one
//	key reused               yes: the key stands for another command, which has run
//	other rejections         yes; with doubt no: refused at the door, it says nothing of the copy before
//	failed                   yes; with doubt no: nothing was stored that would stop the copy before
//	running, not known       yes: they answer a lookup
//	unavailable, busy        no: it did not run, so it may be sent again
//	unknown outcome          no: under its key it may be sent again
func (t *trail) ends(err error) bool {
	t.sent++
	t.last = err
	var no *entity.Rejection
	switch {
	case err == nil, errors.Is(err, entity.ErrRunning), errors.Is(err, entity.ErrNotKnown):
		return true
	case errors.As(err, &no):
		return !t.doubt || speaksForAll(no)
	case errors.Is(err, entity.ErrFailed):
		return !t.doubt
	case errors.Is(err, entity.ErrUnavailable):
		return false
	}
	t.attempt++
	t.doubt = !t.readOnly
	return false
}

// speaksForAll tells whether a rejection was decided by the entity with its window of keys in view.
func speaksForAll(no *entity.Rejection) bool {
	return !strings.HasPrefix(no.Code, "skerry/") || no.Code == codeVersionMismatch || no.Code == codeKeyReused
}

// fate is the call's error when there is no time for another attempt.
func (t *trail) fate(cause error) error {
	var last *entity.Error
	if !t.doubt && errors.As(t.last, &last) {
		told := *last
		if told.Cause == nil {
			told.Cause = cause
		}
		return &told
	}
	return &entity.Error{
		Kind: entity.ErrUnknownOutcome, Cause: cause,
		Reason: fmt.Sprintf("it was sent %d times, and one that was lost may have run; the last answer: %v; with a key of your own it is safe to call again", t.sent, t.last),
	}
}

// The pauses between attempts double from the first to the longest. What the service
// asks for counts up to the longest too.
const (
	firstPause   = 20 * time.Millisecond
	longestPause = 2 * time.Second
)

// persist sends a request until its answer is final, or time is up.
func (c *Client) persist(ctx context.Context, req *entity.Request, t *trail) (*entity.Response, error) {
	unreached := 0
	for pause := firstPause; ; {
		req.Attempt = t.attempt
		resp, reached, err := c.links.send(ctx, req)
		if t.ends(err) {
			c.budget.succeeded()
			return resp, err
		}
		if t.yield != nil && errors.Is(err, entity.ErrBusy) {
			t.yield(req)
		}
		wait := pause
		if unreached++; reached {
			unreached = 0
		}
		if reached || unreached%len(c.links.all) == 0 {
			pause = min(2*pause, longestPause)
		} else {
			wait = 0 // another gateway may do
		}
		if !c.rest(ctx, max(wait, asked(err))) {
			return nil, t.fate(context.Cause(ctx))
		}
		c.cfg.Logger.DebugContext(ctx, "a call is sent again", "type", req.Type, "id", req.ID, "attempt", t.attempt, "after", err)
	}
}

// asked is how long the service wants to be left alone.
func asked(err error) time.Duration {
	var e *entity.Error
	if !errors.As(err, &e) {
		return 0
	}
	return min(e.RetryAfter, longestPause)
}

// rest waits before another attempt, and at least as long as the client's budget of them
// demands. It does not wait at all, and returns false, if there would be no time left after it.
func (c *Client) rest(ctx context.Context, wait time.Duration) bool {
	at, _ := ctx.Deadline()
	left := time.Until(at)
	if wait > 0 {
		wait += time.Duration(rand.Int64N(int64(wait)/2 + 1)) // apart from those who were told the same
	}
	if ctx.Err() != nil || wait >= left {
		return false
	}
	turn, ok := c.budget.take(time.Now(), left)
	if !ok {
		return false
	}
	timer := time.NewTimer(max(wait, turn))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
