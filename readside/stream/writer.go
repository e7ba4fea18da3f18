package stream

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// resetName is the message that tells a page to load everything anew.
const resetName = "reset"

// pingName is the message that only tells that the connection lives.
const pingName = "ping"

// writer writes the messages of one client. All but interrupt belong to the goroutine of its request.
type writer struct {
	response http.ResponseWriter
	control  *http.ResponseController
	name     string
	openings []string // of the lists: `"rows":[`
	timeout  time.Duration
	stats    *counters
	sent     string // the newest id that the client has

	mu      sync.Mutex
	writing bool
	stopped bool
}

// newWriter returns nil if the server's writer takes no deadlines.
func newWriter(w http.ResponseWriter, cfg *Config, stats *counters) *writer {
	control := http.NewResponseController(w)
	if control.SetWriteDeadline(time.Now().Add(cfg.WriteTimeout)) != nil {
		return nil
	}
	out := &writer{response: w, control: control, name: cfg.Name, timeout: cfg.WriteTimeout, stats: stats}
	for i, list := range cfg.Lists {
		opening := strconv.Quote(list) + ":["
		if i > 0 {
			opening = "]," + opening
		}
		out.openings = append(out.openings, opening)
	}
	return out
}

// hello begins a stream.
func (w *writer) hello(retry time.Duration) error {
	return w.write("retry: " + strconv.FormatInt(retry.Milliseconds(), 10) + "\n\n")
}

// position moves the client's id on without a message: browsers keep it and call nobody.
func (w *writer) position(id string) error {
	if id == w.sent {
		return nil
	}
	w.sent = id
	return w.write("id: " + id + "\n\n")
}

// reset tells the client to load everything anew; messages go on behind id.
func (w *writer) reset(id string) error {
	w.stats.resets.Add(1)
	w.sent = id
	return w.write("id: " + id + "\nevent: " + resetName + "\ndata: {}\n\n")
}

// ping is a sign of life, with the client's position if that is known. It is a message, not a comment, so that
// a page can tell a quiet stream from a dead one.
func (w *writer) ping(id string) error {
	const ping = "event: " + pingName + "\ndata: {}\n\n"
	if id == "" || id == w.sent {
		return w.write(ping)
	}
	w.sent = id
	return w.write("id: " + id + "\n" + ping)
}

// message sends the wanted fragments of some batches as one message; nothing if there are none.
func (w *writer) message(id string, batches []*batch, wants func(*fragment) bool) error {
	parts := w.compose(id, batches, wants)
	if parts == nil {
		return nil
	}
	w.stats.messages.Add(1)
	w.sent = id
	return w.write(parts...)
}

// compose lists the parts of a message. They are shared with all other clients.
func (w *writer) compose(id string, batches []*batch, wants func(*fragment) bool) []string {
	var wanted []*fragment
	for _, b := range batches {
		for i := range b.fragments {
			if f := &b.fragments[i]; wants(f) {
				wanted = append(wanted, f)
			}
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	parts := make([]string, 0, 6+len(w.openings)+2*len(wanted))
	parts = append(parts, "id: ", id, "\nevent: ", w.name, "\ndata: {")
	for list, opening := range w.openings {
		parts = append(parts, opening)
		comma := ""
		for _, f := range wanted {
			if f.list == list {
				parts = append(parts, comma, f.json)
				comma = ","
			}
		}
	}
	return append(parts, "]}\n\n")
}

// write does one write and sends it off.
func (w *writer) write(parts ...string) error {
	deadline, err := w.begin()
	if err != nil {
		return err
	}
	if err = w.put(parts); err != nil && !time.Now().Before(deadline) {
		err = errSlow
	}
	return errors.Join(err, w.finish())
}

func (w *writer) put(parts []string) error {
	for _, part := range parts {
		if _, err := io.WriteString(w.response, part); err != nil {
			return err
		}
	}
	return w.control.Flush()
}

// begin gives one write its time.
func (w *writer) begin() (deadline time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return deadline, errStopped
	}
	w.writing = true
	deadline = time.Now().Add(w.timeout)
	return deadline, w.control.SetWriteDeadline(deadline)
}

// finish takes the deadline away: with HTTP/2 one that passes ends even a stream that is quiet.
func (w *writer) finish() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing = false
	if w.stopped {
		return nil
	}
	return w.control.SetWriteDeadline(time.Time{})
}

// interrupt lets a write under way fail, and all later ones. Any goroutine may call it.
func (w *writer) interrupt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.writing {
		_ = w.control.SetWriteDeadline(past) // it took one before
	}
}

// close is the last call. What the server still has to write gets its time if the client deserves it.
func (w *writer) close(cut bool) {
	w.interrupt()
	deadline := time.Now().Add(w.timeout)
	if cut {
		deadline = past
	}
	_ = w.control.SetWriteDeadline(deadline) // it took one before
}

var past = time.Unix(1, 0)
