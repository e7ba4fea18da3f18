package entity_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// The same ledger in three releases of a program. The first stored whole coins, the second cents, the
// third stores a note that tells them.
type (
	coinsAdded = wrapperspb.Int32Value
	centsAdded = wrapperspb.Int64Value
	noted      = wrapperspb.StringValue
	addCoins   = wrapperspb.UInt32Value
)

type ledger struct {
	Cents int64
	Notes []string
}

func centsFromCoins(old *coinsAdded) *centsAdded {
	return wrapperspb.Int64(100 * int64(old.GetValue()))
}

func noteFromCents(old *centsAdded) *noted {
	return wrapperspb.String(fmt.Sprint(old.GetValue(), " cents"))
}

func applyCoins(l ledger, e *coinsAdded) ledger { l.Cents += 100 * int64(e.GetValue()); return l }

func applyCents(l ledger, e *centsAdded) ledger { l.Cents += e.GetValue(); return l }

func applyNote(l ledger, e *noted) ledger {
	var cents int64
	if _, err := fmt.Sscan(e.GetValue(), &cents); err != nil {
		panic(err)
	}
	l.Cents += cents
	l.Notes = append(l.Notes, e.GetValue())
	return l
}

// adding is the one command: the releases differ in what they store.
func adding(event func(coins uint32) proto.Message) entity.Rule[ledger] {
	return entity.On(func(_ ledger, c entity.Command[*addCoins]) (entity.Effect, *emptypb.Empty, error) {
		return entity.Persist(event(c.Msg.GetValue())), &emptypb.Empty{}, nil
	})
}

var (
	storesCoins = adding(func(n uint32) proto.Message { return wrapperspb.Int32(int32(n)) })
	storesCents = adding(func(n uint32) proto.Message { return wrapperspb.Int64(100 * int64(n)) })
	storesNotes = adding(func(n uint32) proto.Message { return wrapperspb.String(fmt.Sprint(100*n, " cents")) })

	askCents = entity.Query(func(l ledger, _ entity.Command[*emptypb.Empty]) (*wrapperspb.Int64Value, error) {
		return wrapperspb.Int64(l.Cents), nil
	})

	ledgers1 = entity.Define("ledger", askCents, storesCoins, entity.Apply(applyCoins))
	// Rules come in any order.
	ledgers2 = entity.Define("ledger", entity.Upcast[ledger](centsFromCoins), askCents, storesCents, entity.Apply(applyCents))
	ledgers3 = entity.Define("ledger", entity.Upcast[ledger](noteFromCents), askCents, storesNotes, entity.Apply(applyNote), entity.Upcast[ledger](centsFromCoins))
)

// startRelease runs one release of the program.
func startRelease(t testing.TB, j journal.Journal, def entity.Definition, change func(*entity.Config)) *entity.Host {
	t.Helper()
	return startHost(t, j, func(c *entity.Config) {
		c.Types, c.Shards = []entity.Definition{def}, 1
		if change != nil {
			change(c)
		}
	})
}

func addTo1(t testing.TB, h *entity.Host, id string, coins uint32) *entity.Response {
	t.Helper()
	resp, err := callAdd(t, h, id, coins)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func callAdd(t testing.TB, h *entity.Host, id string, coins uint32) (*entity.Response, error) {
	t.Helper()
	payload, err := proto.Marshal(wrapperspb.UInt32(coins))
	if err != nil {
		t.Fatal(err)
	}
	return h.Call(long(t), &entity.Request{Type: "ledger", ID: id, Command: "UInt32Value", Payload: payload})
}

func wantCents(t testing.TB, h *entity.Host, id string, want int64) {
	t.Helper()
	resp, err := h.Call(long(t), &entity.Request{Type: "ledger", ID: id, Command: "Empty"})
	if err != nil {
		t.Fatal(err)
	}
	var got wrapperspb.Int64Value
	if err := proto.Unmarshal(resp.Payload, &got); err != nil {
		t.Fatal(err)
	}
	if got.GetValue() != want {
		t.Errorf("ledger %q has %d cents, want %d", id, got.GetValue(), want)
	}
}

func TestEventsOfThreeReleasesAreReadAsTheNewest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i, def := range []entity.Definition{ledgers1, ledgers2, ledgers3, ledgers3} {
		j := openPebble(t, dir)
		h := startRelease(t, j, def, nil)
		wantCents(t, h, "a", int64(200*i))
		got := addTo1(t, h, "a", 2).Receipt
		if want := uint64(i + 1); got.Version != want || got.Token.Offsets[0].Offset != want {
			t.Errorf("release %d: version %d, token %v, want %d: one stored event is one event", i, got.Version, got.Token, want)
		}
		if i == 3 {
			wantReadAsNotes(t, h)
		}
		stopHost(t, h)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// wantReadAsNotes checks what operators see.
func wantReadAsNotes(t *testing.T, h *entity.Host) {
	t.Helper()
	info, err := h.Inspect(t.Context(), "ledger", "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	stored := []string{"google.protobuf.Int32Value", "google.protobuf.Int64Value", "", ""}
	for i, e := range info.Events {
		if e.Type != "google.protobuf.StringValue" || e.StoredType != stored[i] || string(e.Data) != `"200 cents"` || e.Version != uint64(i+1) {
			t.Errorf("event %d is shown as %s %s, stored as %q, version %d", i, e.Type, e.Data, e.StoredType, e.Version)
		}
	}
	if len(info.Events) != len(stored) || info.StateError != "" || !strings.Contains(string(info.State), `"Cents":800`) {
		t.Errorf("%d events, state %s %s", len(info.Events), info.State, info.StateError)
	}
	then, err := h.Inspect(t.Context(), "ledger", "a", &info.Events[1].Version)
	if err != nil || !strings.Contains(string(then.State), `"Cents":400`) {
		t.Errorf("at version 2: %s, %v", then.State, err)
	}
}

func TestADefinitionTellsWhatStoredEventsAreReadAs(t *testing.T) {
	t.Parallel()
	payload, err := proto.Marshal(wrapperspb.Int32(3))
	if err != nil {
		t.Fatal(err)
	}
	msg, err := ledgers3.Decode("google.protobuf.Int32Value", payload)
	if err != nil || !proto.Equal(msg, wrapperspb.String("300 cents")) {
		t.Errorf("3 coins are read as %v, %v", msg, err)
	}
	for event, want := range map[string]string{
		"google.protobuf.Int32Value": "google.protobuf.StringValue", "google.protobuf.Int64Value": "google.protobuf.StringValue",
		"google.protobuf.StringValue": "google.protobuf.StringValue", "google.protobuf.UInt32Value": "", "": "",
	} {
		if got := ledgers3.Current(event); got != want {
			t.Errorf("%q is read as %q, want %q", event, got, want)
		}
	}
	if _, err := ledgers1.Decode("google.protobuf.StringValue", nil); err == nil || !strings.Contains(err.Error(), "entity.Upcast") {
		t.Errorf("an unknown event: %v, want the remedy", err)
	}
	if _, err := ledgers3.Decode("google.protobuf.Int32Value", []byte("\xff")); err == nil || !strings.Contains(err.Error(), `"ledger"`) {
		t.Errorf("a damaged event: %v, want it to name the type", err)
	}
}

func TestDefineRefusesWrongUpcasters(t *testing.T) {
	t.Parallel()
	coinsFromNote := func(*noted) *coinsAdded { return nil }
	up1, up2 := entity.Upcast[ledger](centsFromCoins), entity.Upcast[ledger](noteFromCents)
	for name, c := range map[string]struct {
		rules []entity.Rule[ledger]
		want  string
	}{
		"two from one event": {
			[]entity.Rule[ledger]{up1, entity.Upcast[ledger](func(*coinsAdded) *noted { return nil }), entity.Apply(applyCents), entity.Apply(applyNote)},
			"two upcasters from google.protobuf.Int32Value",
		},
		"an old event that is applied":  {[]entity.Rule[ledger]{entity.Apply(applyCoins), up1, entity.Apply(applyCents)}, "the rule would never run"},
		"a circle":                      {[]entity.Rule[ledger]{up1, up2, entity.Upcast[ledger](coinsFromNote)}, "go in a circle: google.protobuf.Int32Value → google.protobuf.Int64Value → google.protobuf.StringValue → google.protobuf.Int32Value"},
		"a circle behind another event": {[]entity.Rule[ledger]{up1, entity.Upcast[ledger](func(*centsAdded) *centsAdded { return nil })}, "go in a circle"},
		"an end that nothing applies":   {[]entity.Rule[ledger]{up2, up1}, "no rule that applies google.protobuf.StringValue"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if r := fmt.Sprint(recover()); !strings.Contains(r, c.want) || !strings.Contains(r, `"ledger"`) {
					t.Errorf("panics with %q, want in it %q", r, c.want)
				}
			}()
			entity.Define("ledger", c.rules...)
		})
	}
}

func TestAnOldEventIsNotPersistedAgain(t *testing.T) {
	t.Parallel()
	const remedy = "persist google.protobuf.Int64Value instead"
	j := journal.NewMemory()
	forgetful := entity.Define("ledger", askCents, storesCoins, entity.Apply(applyCents), entity.Upcast[ledger](centsFromCoins))
	h := startRelease(t, j, forgetful, nil)
	if _, err := callAdd(t, h, "a", 1); !errors.Is(err, entity.ErrFailed) || !strings.Contains(err.Error(), remedy) {
		t.Errorf("%v, want it to say %q", err, remedy)
	}
	wantCents(t, h, "a", 0)
	if _, err := forgetful.Evolve(ledger{}, wrapperspb.Int32(1)); err == nil || !strings.Contains(err.Error(), remedy) {
		t.Errorf("evolve: %v, want it to say %q", err, remedy)
	}
}

func TestAnUpcasterThatBreaksFailsItsEntitiesOnly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		up   func(*coinsAdded) *centsAdded
		want string
	}{
		"it panics":       {func(*coinsAdded) *centsAdded { panic("glass") }, "panicked: glass"},
		"it returns none": {func(*coinsAdded) *centsAdded { return nil }, "returned nil"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := journal.NewMemory()
			h := startRelease(t, j, ledgers1, nil)
			addTo1(t, h, "a", 1)
			stopHost(t, h)
			breaking := entity.Define("ledger", askCents, storesCents, entity.Apply(applyCents), entity.Upcast[ledger](c.up))
			h = startRelease(t, j, breaking, nil)
			_, err := callAdd(t, h, "a", 1)
			for _, part := range []string{c.want, `ledger "a"`, "entry 1", "from google.protobuf.Int32Value to google.protobuf.Int64Value"} {
				if !errors.Is(err, entity.ErrFailed) || !strings.Contains(err.Error(), part) {
					t.Errorf("%v, want a failure with %q", err, part)
				}
			}
			addTo1(t, h, "b", 1)
			wantCents(t, h, "b", 100)
			stopHost(t, h)
			h = startRelease(t, j, ledgers2, nil)
			wantCents(t, h, "a", 100)
		})
	}
}
