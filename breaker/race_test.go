//go:build race

package breaker_test

// raceDetector slows everything about tenfold.
const raceDetector = true
