package entitytest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/skerryhq/skerry/entity/entitytest"
)

// A test of an entity reads as its story. In a test of yours, t is its *testing.T.
func Example() {
	TestWalletExpires := func(t testing.TB) {
		noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
		entitytest.New(t, wallets).
			At(noon).
			Given(&Deposited{Value: 500}).
			GivenTimer("expire", noon.Add(time.Minute), &Expire{}). // Given arms none
			When(&Deposit{Value: 200}).
			ThenEvents(&Deposited{Value: 200}).
			ThenReply(&Amount{Value: 700}).
			ThenTimer("expire", noon.Add(time.Hour)). // armed anew
			When(&Deposit{Value: -1}).
			ThenRejected("amount").
			WhenTimer("expire").
			ThenEvents(&Expired{Value: "unused for an hour"})
	}
	fmt.Println("passes:", passes(TestWalletExpires))
	// Output: passes: true
}

func passes(test func(testing.TB)) bool { return reportsOf(test) == "" }
