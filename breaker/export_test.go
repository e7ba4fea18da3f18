package breaker

import "github.com/skerryhq/skerry/breaker/internal/machine"

// Plant puts a defect into the breaker.
func (b *Breaker) Plant(bug machine.Bug) { b.machine.Plant(bug) }

// Filled returns the settings complete.
func (s Settings) Filled() Settings {
	filled, err := s.filled()
	if err != nil {
		panic(err)
	}
	return filled
}
