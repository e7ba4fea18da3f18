package shard

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

func clientCommand(number, oldest uint64, issued int64) *Command {
	return &Command{Hash: 1, Key: Key{Kind: ClientKey, Client: [16]byte{1}, Number: number, Oldest: oldest, Issued: issued}}
}

func callerCommand(name, principal string) *Command {
	return &Command{Hash: 1, Principal: principal, Key: Key{Kind: CallerKey, Name: name}}
}

// run looks a command up and, if it is fresh, stores its answer.
func (w *window) run(c *Command, now int64) verdict {
	v, _ := w.look(c, now)
	if v == fresh {
		w.remember(&c.Key, c.Principal, answer{hash: c.Hash, time: now, reply: []byte(fmt.Sprint(now))})
	}
	return v
}

func expect(t *testing.T, what string, got, want verdict) {
	t.Helper()
	if got != want {
		t.Errorf("%s: verdict %d, want %d", what, got, want)
	}
}

func TestWindowKeepsWhatAClientHoldsOpen(t *testing.T) {
	t.Parallel()
	const now = int64(time.Hour)
	var w window
	expect(t, "1, first", w.run(clientCommand(1, 1, now), now), fresh)
	expect(t, "3, while 1 is open", w.run(clientCommand(3, 1, now), now), fresh)
	expect(t, "2, late", w.run(clientCommand(2, 1, now), now), fresh)
	expect(t, "1, again", w.run(clientCommand(1, 1, now), now), repeated)
	expect(t, "4, with 3 the oldest open", w.run(clientCommand(4, 3, now), now), fresh)
	expect(t, "2, closed", w.run(clientCommand(2, 1, now), now), expired)
	expect(t, "3, again", w.run(clientCommand(3, 1, now), now), repeated)
	if n := len(w.clients[0].answers); n != 2 {
		t.Errorf("%d answers are kept, want those of 3 and 4", n)
	}
	other := clientCommand(4, 3, now)
	other.Hash = 2
	expect(t, "4, with another command", w.run(other, now), reused)
}

func TestWindowRefusesKeysTooOldToJudge(t *testing.T) {
	t.Parallel()
	const now = int64(100 * time.Hour)
	old := now - int64(KeyAge) - 1
	var w window
	expect(t, "an old key of an unknown client", w.run(clientCommand(1, 1, old), now), expired)
	expect(t, "a young one", w.run(clientCommand(2, 1, now), now), fresh)
	expect(t, "an old key of a known client", w.run(clientCommand(1, 1, old), now), expired)
	expect(t, "an old key that is remembered", w.run(clientCommand(2, 1, old), now), repeated)
}

func TestWindowBoundsOpenNumbersOfOneClient(t *testing.T) {
	t.Parallel()
	const now = int64(time.Hour)
	var w window
	for n := uint64(1); n <= maxOpen; n++ {
		w.run(clientCommand(n, 1, now), now)
	}
	expect(t, "one more", w.run(clientCommand(maxOpen+1, 1, now), now), full)
	expect(t, "one more that closes some", w.run(clientCommand(maxOpen+1, 5, now), now), fresh)
}

func TestWindowBoundsClients(t *testing.T) {
	t.Parallel()
	const start = int64(time.Hour)
	key := func(i int, now int64) *Command {
		c := clientCommand(1, 1, now)
		c.Key.Client = [16]byte{1, byte(i), byte(i >> 8)}
		return c
	}
	var w window
	for i := range maxClients {
		expect(t, "a client", w.run(key(i, start), start+int64(i)), fresh)
	}
	expect(t, "one more", w.run(key(maxClients, start), start+maxClients), full)
	later := start + int64(markAge) + 10
	expect(t, "one more when the first marks are past their age", w.run(key(maxClients, later), later), fresh)
	if n := len(w.clients); n != maxClients-10+1 {
		t.Errorf("%d clients are kept, want %d", n, maxClients-10+1)
	}
}

func TestWindowKeepsCallersKeysForTheirGuarantee(t *testing.T) {
	t.Parallel()
	now := int64(time.Hour)
	var w window
	for i := range maxCallerKeys {
		expect(t, "a key", w.run(callerCommand(fmt.Sprint(i), "ann"), now), fresh)
	}
	now += int64(KeyGuarantee)
	expect(t, "the heaviest principal, within the guarantee", w.run(callerCommand("more", "ann"), now), full)
	expect(t, "another principal", w.run(callerCommand("other", "bob"), now), fresh)
	expect(t, "the first key", w.run(callerCommand("0", "ann"), now), repeated)
	now++
	expect(t, "the heaviest principal, past the guarantee", w.run(callerCommand("more", "ann"), now), fresh)
	if _, ok := w.callers["0"]; ok {
		t.Error("the oldest key is still there")
	}
	expect(t, "a key that had to go is new again", w.run(callerCommand("0", "ann"), now), fresh)
}

func TestWindowIsFullForEverybodyAtTwiceTheCount(t *testing.T) {
	t.Parallel()
	now := int64(time.Hour)
	var w window
	for i := range hardFactor * maxCallerKeys {
		expect(t, "a key", w.run(callerCommand(fmt.Sprint(i), fmt.Sprint("p", i%2+2*(i/maxCallerKeys))), now), fresh)
	}
	expect(t, "a principal that holds none", w.run(callerCommand("more", "carol"), now), full)
}

func TestWindowForgetsCallersKeysAtTheirAge(t *testing.T) {
	t.Parallel()
	now := int64(time.Hour)
	var w window
	w.run(callerCommand("a", "ann"), now)
	w.run(callerCommand("b", "ann"), now+int64(KeyAge)-1)
	expect(t, "within the age", w.run(callerCommand("a", "ann"), now+int64(KeyAge)), repeated)
	w.run(callerCommand("c", "ann"), now+int64(KeyAge)+1)
	if len(w.order) != 2 || w.callers["a"] != nil {
		t.Errorf("%d keys are kept, want b and c", len(w.order))
	}
}

func TestWindowSurvivesASnapshot(t *testing.T) {
	t.Parallel()
	const now = int64(time.Hour)
	var w window
	w.run(clientCommand(7, 5, now), now)
	w.run(clientCommand(9, 5, now), now)
	w.run(callerCommand("k", "ann"), now)
	no := callerCommand("no", "bob")
	w.remember(&no.Key, "bob", answer{hash: 1, entry: 4, version: 3, time: now, rejection: &Rejection{"low", "too low"}})

	bytes, err := proto.Marshal(w.encode())
	if err != nil {
		t.Fatal(err)
	}
	pb := &logv1.Window{}
	if err := proto.Unmarshal(bytes, pb); err != nil {
		t.Fatal(err)
	}
	back := decodeWindow(pb)
	expect(t, "a number", back.run(clientCommand(7, 5, now), now), repeated)
	expect(t, "below the mark", back.run(clientCommand(4, 4, now), now), expired)
	expect(t, "a caller's key", back.run(callerCommand("k", "ann"), now), repeated)
	v, a := back.look(no, now)
	if v != repeated || a.rejection == nil || *a.rejection != (Rejection{"low", "too low"}) || a.entry != 4 || a.version != 3 {
		t.Errorf("the rejection came back as %v, %+v", v, a)
	}
	if got := back.order[1].principal; got != "bob" {
		t.Errorf("the principal came back as %q", got)
	}
	if again, err := proto.Marshal(back.encode()); err != nil || string(again) != string(bytes) {
		t.Errorf("encoding it again gives other bytes (%v)", err)
	}
}

// clientOf is a command of one of many clients.
func clientOf(id int, number uint64, issued int64) *Command {
	c := clientCommand(number, number, issued)
	c.Key.Client = [16]byte{byte(id), byte(id >> 8), byte(id >> 16)}
	return c
}

func TestWindowLetsTheEldestClientGoAndNeverRunsItsCommandTwice(t *testing.T) {
	t.Parallel()
	const start = int64(time.Hour)
	var w window
	at := func(i int) int64 { return start + int64(i)*int64(time.Second) }
	for i := range maxClients {
		expect(t, "a client within the count", w.run(clientOf(i, 1, at(i)), at(i)), fresh)
	}
	young := at(maxClients - 1)
	expect(t, "one more, while the eldest was silent for long enough", w.run(clientOf(5000, 1, young), young), fresh)
	if len(w.clients) != maxClients || w.floor != at(0) {
		t.Fatalf("%d clients, floor %d, want %d, %d", len(w.clients), w.floor, maxClients, at(0))
	}
	expect(t, "the one that went, again", w.run(clientOf(0, 1, at(0)), young), expired)
	expect(t, "the one that went, with a new command", w.run(clientOf(0, 2, young), young), fresh)
	expect(t, "one that stayed, again", w.run(clientOf(700, 1, at(700)), young), repeated)
	expect(t, "the next eldest, which made room for it", w.run(clientOf(1, 1, at(1)), young), expired)
	if got := decodeWindow(w.encode()); got.floor != w.floor || got.opened != w.opened || got.clients[0].issued != w.clients[0].issued {
		t.Errorf("read back: floor %d, %d bytes", got.floor, got.opened)
	}
}

func TestWindowKeepsClientsForTheirGuarantee(t *testing.T) {
	t.Parallel()
	const now = int64(time.Hour)
	var w window
	for i := range maxClients {
		w.run(clientOf(i, 1, now), now)
	}
	expect(t, "one more while all are young", w.run(clientOf(5000, 1, now), now), full)
	later := now + int64(KeyGuarantee) + 1
	expect(t, "one more when they are not", w.run(clientOf(5000, 1, later), later), fresh)
}

func TestWindowRefusesClientsFromTheFuture(t *testing.T) {
	t.Parallel()
	const now = int64(time.Hour)
	var w window
	expect(t, "far ahead", w.run(clientOf(1, 1, now+int64(maxAhead)+1), now), ahead)
	expect(t, "a little ahead", w.run(clientOf(1, 1, now+int64(time.Minute)), now), fresh)
}

func TestWindowBoundsTheBytesOfAClientsAnswers(t *testing.T) {
	t.Parallel()
	const now = int64(time.Hour)
	reply := make([]byte, 1<<20)
	var w window
	store := func(c *Command) verdict {
		v, _ := w.look(c, now)
		if v == fresh {
			w.remember(&c.Key, "", answer{hash: c.Hash, time: now, reply: reply})
		}
		return v
	}
	command := func(client byte, number, oldest uint64) *Command {
		c := clientCommand(number, oldest, now)
		c.Key.Client = [16]byte{client}
		return c
	}
	for n := uint64(1); n <= maxClientBytes>>20; n++ {
		expect(t, "within the bound", store(command(1, n, 1)), fresh)
	}
	expect(t, "beyond it", store(command(1, 100, 1)), full)
	expect(t, "another client", store(command(2, 1, 1)), fresh)
	for n := uint64(2); n <= maxClientBytes>>20; n++ {
		store(command(2, n, 1))
	}
	expect(t, "a third, when all together have too much", store(command(3, 1, 1)), full)
	expect(t, "one that closes what it held", store(command(1, 100, 100)), fresh)
	expect(t, "the third, with the room that gave", store(command(3, 1, 1)), fresh)
}
