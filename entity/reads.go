package entity

import "fmt"

// CheckReader tells why a reader of logs that waits for an event would wait in vain: no entity of
// the given types, or of the one named entityType if that is not empty, has events that are read as it
// today. It returns nil if there are such events, and where no types are known.
func CheckReader(types []Definition, entityType, event string) error {
	if len(types) == 0 {
		return nil
	}
	known := false
	var older error
	for _, t := range types {
		if entityType != "" && t.Name() != entityType {
			continue
		}
		known = true
		switch current := t.Current(event); current {
		case event:
			return nil
		case "":
		default:
			older = fmt.Errorf("the type %q reads such events as %s by now: give the rule for that", t.Name(), current)
		}
	}
	switch {
	case older != nil:
		return older
	case !known:
		return fmt.Errorf("there are no entities of type %q", entityType)
	}
	return fmt.Errorf("no type stores that event: give the message that entity.Apply takes")
}
