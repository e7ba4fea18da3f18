package shard

import (
	"slices"
	"time"

	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

// The window of an entity is what it remembers of the keys it has answered.
//
// Keys of the client library are counted: the client tells the oldest number that it
// holds open, and everything below is forgotten, so the window is as large as the
// calls in flight. Keys given by callers are remembered for KeyGuarantee at least and for
// KeyAge while they fit in a count.
const (
	// KeyGuarantee is how long a caller's key is surely remembered: a deadline
	// of 60 s, a take-over, and a margin.
	KeyGuarantee = 120 * time.Second
	// KeyAge is how long a caller's key is remembered while there is room, and the age
	// beyond which a key that is seen for the first time is refused.
	KeyAge = 24 * time.Hour
	// markAge is how long a client's mark is kept. It is twice KeyAge, so that a key which is
	// still young enough always meets its client's mark.
	markAge = 2 * KeyAge
	// maxCallerKeys is the count beyond which caller keys past their guarantee go, and at
	// which the principal that holds most is told busy if there is none.
	maxCallerKeys = 16 << 10
	// maxCallerBytes is the same bound for the answers' bytes.
	maxCallerBytes = 8 << 20
	// At hardFactor times either, everybody is told busy.
	hardFactor = 2
	// maxClients bounds the client processes that one entity keeps a mark for. When full, the one whose keys are
	// oldest goes, if it was silent for KeyGuarantee, and raises the floor.
	maxClients = 1024
	// maxClientBytes bounds the answers to one client's numbers, and hardFactor times that those to all clients' together.
	maxClientBytes = 8 << 20
	// maxAhead is how far the clock of a client that is seen for the first time may be ahead of the owner's. While
	// its newest key lies ahead, a client's mark cannot go.
	maxAhead = time.Hour
	// maxOpen bounds the open numbers of one client at one entity.
	maxOpen = 16384
)

// answer is what one key was told.
type answer struct {
	hash           uint64
	entry, version uint64
	time           int64
	reply          []byte
	rejection      *Rejection
	record         uint64 // that carries it; 0 once it came from the journal
}

// client is what an entity knows of one client process.
type client struct {
	id      [16]byte
	mark    uint64 // numbers below are closed
	seen    int64
	issued  int64      // of its newest key, by its own clock
	bytes   int        // of answers
	answers []numbered // ascending
}

type numbered struct {
	number uint64
	answer
}

// named is the answer to a caller's key.
type named struct {
	name, principal string
	answer
}

// window has the zero value of a new entity.
type window struct {
	clients []client
	// floor is the newest key of any client that had to go: what an unknown client issued before is not
	// known to be new.
	floor   int64
	opened  int // bytes of answers to clients' numbers
	callers map[string]*named
	order   []*named       // callers, oldest first
	held    map[string]int // how many of them each principal has
	bytes   int            // of callers
}

// verdict is what the window says of a key.
type verdict uint8

const (
	fresh    verdict = iota // not seen: run it
	repeated                // answered before
	reused                  // answered before, to another command
	expired                 // below the mark or too old: nobody knows
	full                    // no room to remember it
	ahead                   // issued in the future
)

// look tells what is known of the key of c at time now.
func (w *window) look(c *Command, now int64) (verdict, *answer) {
	switch c.Key.Kind {
	case ClientKey:
		return w.lookClient(c, now)
	case CallerKey:
		return w.lookCaller(c, now)
	}
	return fresh, nil
}

func (w *window) lookClient(c *Command, now int64) (verdict, *answer) {
	cl := w.client(c.Key.Client)
	if cl == nil {
		switch {
		case c.Key.Issued+int64(KeyAge) < now, c.Key.Issued <= w.floor:
			return expired, nil
		case c.Key.Issued > now+int64(maxAhead):
			return ahead, nil
		case len(w.clients) >= maxClients && !w.dropClients(now) && w.eldest(now) < 0, w.opened >= hardFactor*maxClientBytes:
			return full, nil
		}
		return fresh, nil
	}
	if c.Key.Number < cl.mark {
		return expired, nil
	}
	i, ok := cl.find(c.Key.Number)
	switch {
	case ok && cl.answers[i].hash != c.Hash:
		return reused, nil
	case ok:
		return repeated, &cl.answers[i].answer
	case c.Key.Issued+int64(KeyAge) < now:
		return expired, nil
	case c.Key.Oldest > cl.mark: // it makes room
	case len(cl.answers) >= maxOpen, cl.bytes >= maxClientBytes, w.opened >= hardFactor*maxClientBytes:
		return full, nil
	}
	return fresh, nil
}

func (w *window) lookCaller(c *Command, now int64) (verdict, *answer) {
	if a, ok := w.callers[c.Key.Name]; ok {
		if a.hash != c.Hash {
			return reused, nil
		}
		return repeated, &a.answer
	}
	w.dropCallers(now)
	if !w.over(1) || !w.over(hardFactor) && w.heaviest() != c.Principal {
		return fresh, nil
	}
	return full, nil
}

// over tells that count or bytes have reached so many times their bound.
func (w *window) over(times int) bool {
	return len(w.order) >= times*maxCallerKeys || w.bytes >= times*maxCallerBytes
}

// size is about what a remembered answer takes.
func (a *answer) size() int {
	n := 120 + len(a.reply)
	if a.rejection != nil {
		n += len(a.rejection.Code) + len(a.rejection.Message)
	}
	return n
}

// size is about what it takes with its name.
func (a *named) size() int { return 80 + len(a.name) + a.answer.size() }

// heaviest returns the principal that holds most caller keys.
func (w *window) heaviest() string {
	most := ""
	for p, n := range w.held {
		if n > w.held[most] || n == w.held[most] && p > most {
			most = p
		}
	}
	return most
}

// dropCallers forgets what is older than KeyAge, and while the count is full
// what is past its guarantee.
func (w *window) dropCallers(now int64) {
	n := 0
	for _, a := range w.order {
		age := now - a.time
		room := len(w.order)-n < maxCallerKeys && w.bytes < maxCallerBytes
		if age <= int64(KeyGuarantee) || age <= int64(KeyAge) && room {
			break
		}
		w.drop(a)
		n++
	}
	clear(w.order[:n])
	w.order = w.order[n:]
}

func (w *window) drop(a *named) {
	delete(w.callers, a.name)
	w.bytes -= a.size()
	if w.held[a.principal]--; w.held[a.principal] == 0 {
		delete(w.held, a.principal)
	}
}

// dropClients forgets clients whose marks are past their age.
func (w *window) dropClients(now int64) bool {
	before := len(w.clients)
	w.clients = slices.DeleteFunc(w.clients, func(c client) bool {
		old := now-c.seen > int64(markAge)
		if old {
			w.opened -= c.bytes
		}
		return old
	})
	return len(w.clients) < before
}

// eldest is the client that may go for another: of those silent for KeyGuarantee the one whose
// newest key is oldest; -1 if there is none.
func (w *window) eldest(now int64) int {
	found := -1
	for i := range w.clients {
		c := &w.clients[i]
		if now-c.seen > int64(KeyGuarantee) && c.issued <= now && (found < 0 || c.issued < w.clients[found].issued) {
			found = i
		}
	}
	return found
}

// evict lets the eldest client go. What it may still send again is answered "expired" from now on.
func (w *window) evict(now int64) {
	i := w.eldest(now)
	if i < 0 {
		return
	}
	w.floor = max(w.floor, w.clients[i].issued)
	w.opened -= w.clients[i].bytes
	w.clients = slices.Delete(w.clients, i, i+1)
}

// remember stores the answer of a key that was fresh.
func (w *window) remember(k *Key, principal string, a answer) {
	switch k.Kind {
	case ClientKey:
		w.rememberClient(k, a)
	case CallerKey:
		w.dropCallers(a.time)
		if w.callers == nil {
			w.callers, w.held = map[string]*named{}, map[string]int{}
		}
		n := &named{name: k.Name, principal: principal, answer: a}
		w.callers[k.Name] = n
		w.order = append(w.order, n)
		w.held[principal]++
		w.bytes += n.size()
	}
}

func (w *window) rememberClient(k *Key, a answer) {
	cl := w.client(k.Client)
	if cl == nil {
		if len(w.clients) >= maxClients {
			if !w.dropClients(a.time) { // as it was when the key was taken
				w.evict(a.time)
			}
		}
		w.clients = append(w.clients, client{id: k.Client})
		cl = &w.clients[len(w.clients)-1]
	}
	cl.seen, cl.issued = max(cl.seen, a.time), max(cl.issued, k.Issued)
	w.opened -= cl.close(k.Oldest)
	if k.Number < cl.mark {
		return
	}
	i, ok := cl.find(k.Number)
	if !ok {
		cl.answers = slices.Insert(cl.answers, i, numbered{number: k.Number, answer: a})
		cl.bytes += a.size()
		w.opened += a.size()
	}
}

// close forgets the numbers below oldest, and tells how many bytes that frees.
func (cl *client) close(oldest uint64) (freed int) {
	if oldest <= cl.mark {
		return 0
	}
	cl.mark = oldest
	i, _ := cl.find(oldest)
	for j := range cl.answers[:i] {
		freed += cl.answers[j].size()
	}
	cl.bytes -= freed
	cl.answers = slices.Delete(cl.answers, 0, i)
	return freed
}

func (cl *client) find(number uint64) (int, bool) {
	n := len(cl.answers)
	if n == 0 || cl.answers[n-1].number < number {
		return n, false // nearly always: numbers grow
	}
	return slices.BinarySearchFunc(cl.answers, number, func(a numbered, n uint64) int {
		switch {
		case a.number < n:
			return -1
		case a.number > n:
			return 1
		}
		return 0
	})
}

func (w *window) client(id [16]byte) *client {
	for i := range w.clients {
		if w.clients[i].id == id {
			return &w.clients[i]
		}
	}
	return nil
}

// encode writes the window for a snapshot.
func (w *window) encode() *logv1.Window {
	out := &logv1.Window{FloorNs: w.floor}
	for i := range w.clients {
		cl := &w.clients[i]
		out.Marks = append(out.Marks, &logv1.Mark{Client: cl.id[:], Number: cl.mark, TimeNs: cl.seen, IssuedNs: cl.issued})
		for j := range cl.answers {
			a := &cl.answers[j]
			key := &logv1.Key{Kind: &logv1.Key_Client{Client: &logv1.ClientKey{Client: cl.id[:], Number: a.number, Oldest: cl.mark}}}
			out.Answers = append(out.Answers, a.encode(key, ""))
		}
	}
	for _, a := range w.order {
		out.Answers = append(out.Answers, a.encode(&logv1.Key{Kind: &logv1.Key_Caller{Caller: a.name}}, a.principal))
	}
	return out
}

func (a *answer) encode(key *logv1.Key, principal string) *logv1.Remembered {
	r := &logv1.Remembered{Key: key, CommandHash: a.hash, Entry: a.entry, Version: a.version, TimeNs: a.time, Principal: principal}
	if a.rejection != nil {
		r.Answer = &logv1.Remembered_Rejection{Rejection: &logv1.Rejection{Code: a.rejection.Code, Message: a.rejection.Message}}
	} else {
		r.Answer = &logv1.Remembered_Reply{Reply: a.reply}
	}
	return r
}

// decodeWindow reads a snapshot's window.
func decodeWindow(pb *logv1.Window) window {
	w := window{floor: pb.GetFloorNs()}
	for _, m := range pb.GetMarks() {
		cl := client{mark: m.GetNumber(), seen: m.GetTimeNs(), issued: m.GetIssuedNs()}
		if cl.issued == 0 { // a snapshot of 0.1.0 does not tell: no later than it was seen, but for the clocks' difference
			cl.issued = cl.seen
		}
		copy(cl.id[:], m.GetClient())
		w.clients = append(w.clients, cl)
	}
	for _, r := range pb.GetAnswers() {
		key := keyFrom(r.GetKey())
		w.remember(&key, r.GetPrincipal(), answer{
			hash: r.GetCommandHash(), entry: r.GetEntry(), version: r.GetVersion(), time: r.GetTimeNs(),
			reply: r.GetReply(), rejection: rejectionFrom(r.GetRejection()),
		})
	}
	return w
}

func rejectionFrom(pb *logv1.Rejection) *Rejection {
	if pb == nil {
		return nil
	}
	return &Rejection{Code: pb.GetCode(), Message: pb.GetMessage()}
}
