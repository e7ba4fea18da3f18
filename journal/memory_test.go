package journal_test

import (
	"testing"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/journaltest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	t.Parallel()
	journaltest.Run(t, func(*testing.T) journal.Journal { return journal.NewMemory() })
}
