package readside

import (
	"fmt"

	"github.com/skerryhq/skerry/entity"
)

// checkRules refuses a rule that no event could ever come to: it would pass over in silence what its author meant.
func checkRules(p Processor, types []entity.Definition) error {
	for i := range p.rules {
		r := &p.rules[i]
		if err := entity.CheckReader(types, r.entityType, r.message); err != nil {
			return fmt.Errorf("readside: processor %s: the rule for %s: %w", p.name, r.message, err)
		}
	}
	return nil
}
