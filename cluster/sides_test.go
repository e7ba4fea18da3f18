package cluster

import (
	"encoding/hex"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

func TestVoiceIsReadAsItWasSaid(t *testing.T) {
	t.Parallel()
	self := Member{Node: "a", Incarnation: "a-1", Weight: 3, StartedMillis: 1_700_000_000_000}
	members := []Member{self, {Incarnation: "c-1"}, {Incarnation: "b-1"}}
	said := voiceOf(self, members)
	read, err := decodeVoice("a-1", said.encode())
	if err != nil || !reflect.DeepEqual(read, said) {
		t.Errorf("said %v, read %v, %v", said, read, err)
	}
	slices.Reverse(members)
	if other := voiceOf(self, members); !reflect.DeepEqual(other, said) {
		t.Error("the order of members shows")
	}
	if !read.hearsOf(nameOf("b-1")) || read.hearsOf(nameOf("a-1")) || read.hearsOf(nameOf("d-1")) {
		t.Errorf("%v names others than the members", read)
	}
}

// TestVoiceOfTheFirstReleaseIsRead holds what was stored once.
func TestVoiceOfTheFirstReleaseIsRead(t *testing.T) {
	t.Parallel()
	const stored = "010180a0abfef9627096be0b36bab073753307118842cf74"
	b, err := hex.DecodeString(stored)
	if err != nil {
		t.Fatal(err)
	}
	want := voiceOf(Member{Incarnation: "a-1", Weight: 1, StartedMillis: 1_700_000_000_000}, []Member{{Incarnation: "b-1"}, {Incarnation: "c-1"}})
	if got, err := decodeVoice("a-1", b); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %v, %v, want %v", got, err, want)
	}
	if got := hex.EncodeToString(want.encode()); got != stored {
		t.Errorf("it is now written as %s", got)
	}
}

func TestVoiceFitsItsRow(t *testing.T) {
	t.Parallel()
	members := make([]Member, 2*maxHeard)
	for i := range members {
		members[i].Incarnation = string(rune('a'+i%26)) + string(rune(i))
	}
	b := voiceOf(Member{Incarnation: "self", StartedMillis: 1 << 62}, members).encode()
	if len(b) > 64<<10 {
		t.Errorf("%d bytes", len(b))
	}
	if _, err := decodeVoice("self", b); err != nil {
		t.Error(err)
	}
}

func TestDamagedVoiceIsAnError(t *testing.T) {
	t.Parallel()
	good := voiceOf(Member{Incarnation: "a-1"}, []Member{{Incarnation: "b-1"}}).encode()
	for name, b := range map[string][]byte{
		"empty": nil, "another format": append([]byte{2}, good[1:]...), "cut": good[:len(good)-1],
		"no start": good[:2], "an endless start": {1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"too many names": append(slices.Clone(good), make([]byte, 8*maxHeard)...),
	} {
		if v, err := decodeVoice("a-1", b); err == nil {
			t.Errorf("%s: read as %v", name, v)
		}
	}
}

// randomVoices hear each other at random, more or less.
func randomVoices(r *rand.Rand) []voice {
	voices := make([]voice, 1+r.IntN(9))
	density := r.Float64()
	for i := range voices {
		voices[i] = voice{name: r.Uint64(), votes: r.IntN(4) > 0, startedMillis: r.Int64N(5)}
	}
	for i := range voices {
		for j := range voices {
			if i != j && r.Float64() < density {
				voices[i].hears = append(voices[i].hears, voices[j].name)
			}
		}
		slices.Sort(voices[i].hears)
	}
	return voices
}

func TestSides(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	for range 5000 {
		voices := randomVoices(r)
		sides := sidesOf(voices)
		if !slices.EqualFunc(slices.Concat(sides...), voices, func(voice, voice) bool { return true }) {
			t.Fatalf("sides %v of %v", sides, voices)
		}
		for i, side := range sides {
			for k, v := range side {
				for _, o := range side[:k] {
					if !linked(v, o) {
						t.Fatalf("%v and %v are on one side", v, o)
					}
				}
				for _, earlier := range sides[:i] {
					if !slices.ContainsFunc(earlier, func(e voice) bool { return olderFirst(e, v) < 0 && !linked(e, v) }) {
						t.Fatalf("%v is linked to the older side %v and on %v", v, earlier, side)
					}
				}
			}
		}
	}
}

func TestStrongestSideIsOneForAll(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 2))
	for range 5000 {
		voices := randomVoices(r)
		best := strongest(voices)
		for _, side := range sidesOf(voices) {
			n, most := votes(side), votes(best)
			if n > most || n == most && olderFirst(side[0], best[0]) < 0 {
				t.Fatalf("%v is stronger than %v", side, best)
			}
		}
		shuffled := slices.Clone(voices)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if !reflect.DeepEqual(strongest(shuffled), best) {
			t.Fatal("the order of rows shows")
		}
	}
}
