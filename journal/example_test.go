package journal_test

import (
	"context"
	"fmt"

	"github.com/skerryhq/skerry/journal"
)

// Two owners want the same slot: one gets it, the other learns who has it.
func Example() {
	ctx := context.Background()
	j := journal.NewMemory()
	defer func() { _ = j.Close() }()

	for _, writer := range []string{"node-1", "node-2"} {
		claim := journal.NewRecord(journal.Header{Number: 1, Epoch: 1, Writer: writer, Batch: journal.NewBatch(), Claim: true, FirstOffset: 1}, nil)
		slot, err := j.Append(ctx, 7, claim)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: slot 1 belongs to %s\n", writer, slot.Holder.Writer)
	}
	// Output:
	// node-1: slot 1 belongs to node-1
	// node-2: slot 1 belongs to node-1
}
