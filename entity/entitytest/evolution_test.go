package entitytest_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/entitytest"
	"github.com/skerryhq/skerry/journal"
)

// Received is what the first release of the wallet stored: whole euros.
type Received = wrapperspb.Int32Value // event

func depositedFromReceived(old *Received) *Deposited {
	return &Deposited{Value: 100 * uint64(old.GetValue())}
}

// evolved is the wallet of today, which reads what the first release stored.
var evolved = entity.Define("wallet", append(walletRules(), entity.Upcast[Wallet](depositedFromReceived))...)

// A story given events of an old type tests their upcaster: by itself, in the state, and on a real host that finds
// them in its journal. In a test of yours, t is its *testing.T.
func Example_upcaster() {
	TestWalletReadsEuros := func(t testing.TB) {
		entitytest.New(t, evolved).
			Given(&Received{Value: 5}). // as the first release stored it
			When(&Deposit{Value: 20}).
			ThenReply(&Amount{Value: 520})
	}
	fmt.Println("passes:", passes(TestWalletReadsEuros))
	// Output: passes: true
}

func TestStoredBytesAreReadAsToday(t *testing.T) {
	t.Parallel()
	five, err := hex.DecodeString("0805") // from a journal of the first release
	if err != nil {
		t.Fatal(err)
	}
	entitytest.New(t, evolved).
		GivenStored("google.protobuf.Int32Value", five).
		GivenStored("google.protobuf.UInt64Value", five).
		When(&Balance{}).ThenReply(&Amount{Value: 505})
}

// record plays the operator of the first release, who shows an entity as JSON.
func record(t *testing.T, typ *entity.Type[Wallet], id string, deposits ...int64) string {
	t.Helper()
	host, err := entity.Start(t.Context(), entity.Config{
		Journal: journal.NewMemory(), Types: []entity.Definition{typ}, Shards: 1, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, cents := range deposits {
		payload := fmt.Appendf(nil, "\x08%c", rune(cents))
		if _, err := host.Call(t.Context(), &entity.Request{Type: typ.Name(), ID: id, Command: "Int64Value", Payload: payload}); err != nil {
			t.Fatal(err)
		}
	}
	info, err := host.Inspect(t.Context(), typ.Name(), id, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "history.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestARecordedHistoryIsReadAsToday(t *testing.T) {
	t.Parallel()
	received := entity.On(func(_ Wallet, cmd entity.Command[*Deposit]) (entity.Effect, *Amount, error) {
		return entity.Persist(&Received{Value: int32(cmd.Msg.GetValue())}), &Amount{}, nil
	})
	first := entity.Define("wallet", received, entity.Apply(func(w Wallet, e *Received) Wallet {
		w.Cents += 100 * uint64(e.GetValue())
		return w
	}))
	file := record(t, first, "ann's", 5, 7)
	entitytest.New(t, evolved).
		GivenHistory(file).
		When(&Deposit{Value: 1}).ThenReply(&Amount{Value: 1201}).
		When(&Deposit{Value: -1}).ThenRejected("amount")

	got := reportsOf(func(t testing.TB) { entitytest.New(t, wallets).GivenHistory(file) })
	if want := "neither an Apply rule nor an upcaster"; !strings.Contains(got, want) {
		t.Errorf("without the upcaster it reports %q, want in it %q", got, want)
	}
	other := entity.Define("purse", walletRules()...)
	got = reportsOf(func(t testing.TB) { entitytest.New(t, other).GivenHistory(file) })
	if want := `the history of a "wallet"`; !strings.Contains(got, want) {
		t.Errorf("for another type it reports %q, want in it %q", got, want)
	}
}

func TestAWrongUpcasterIsReported(t *testing.T) {
	t.Parallel()
	var runs atomic.Uint64
	for name, c := range map[string]struct {
		up   func(*Received) *Deposited
		want string
	}{
		"that counts":  {func(*Received) *Deposited { return &Deposited{Value: runs.Add(1)} }, "not always read as the same event"},
		"that panics":  {func(*Received) *Deposited { panic("glass") }, "panicked: glass"},
		"without word": {func(*Received) *Deposited { return nil }, "returned nil"},
	} {
		typ := entity.Define("wallet", append(walletRules(), entity.Upcast[Wallet](c.up))...)
		got := reportsOf(func(t testing.TB) { entitytest.New(t, typ).Given(&Received{Value: 1}) })
		if !strings.Contains(got, c.want) {
			t.Errorf("an upcaster %s: reports %q, want in it %q", name, got, c.want)
		}
	}
	got := reportsOf(func(t testing.TB) { entitytest.New(t, wallets).GivenStored("google.protobuf.Int32Value", nil) })
	if want := "cannot read the stored event"; !strings.Contains(got, want) {
		t.Errorf("without an upcaster it reports %q, want in it %q", got, want)
	}
}
