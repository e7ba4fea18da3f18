//go:build !race

package cluster_test

// underRace tells that the race detector is on.
const underRace = false
