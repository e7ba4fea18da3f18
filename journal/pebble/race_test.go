//go:build race

package pebble

// underRace tells that the race detector is on.
const underRace = true
