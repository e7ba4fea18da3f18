package journal

import (
	"context"
	"fmt"
)

// Facts that tell of an import. A journal that is settled as importing, and not yet as imported
// with the same value, holds part of a service: nobody may serve from it.
const (
	ImportingFact = "importing"
	ImportedFact  = "imported"
)

// Importing returns the archive whose import into j has begun and is not complete; "" if there is none.
func Importing(ctx context.Context, j Journal) (archive string, err error) {
	var begun, complete string
	err = j.Settled(ctx, "import", func(name, value string) error {
		switch name {
		case ImportingFact:
			begun = value
		case ImportedFact:
			complete = value
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("journal: read whether it is being imported: %w", err)
	}
	if begun == complete {
		return "", nil
	}
	return begun, nil
}
