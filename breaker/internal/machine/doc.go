// Package machine is the pure state machine of a circuit breaker: inputs with their time go in, decisions
// and transitions come out.
//
//	          max-failures in a row, or the rate over the window
//	┌────────┐ ───────────────────────────────────────────► ┌──────┐
//	│ closed │                                              │ open │ ◄─┐
//	└────────┘ ◄──────────┐                                 └──────┘   │
//	                      │                                    │       │ the probe fails, hangs,
//	         the probe is │            the reset-timeout is    │       │ or its caller gives up
//	         answered     │            over and a call comes   ▼       │
//	                      │                              ┌───────────┐ │
//	                      └───────────────────────────── │ half-open │─┘
//	                                                     └───────────┘
//
// Each state entered is a new generation. A call carries the generation that admitted it, and
// what it reports after the state has changed is ignored: a call that was admitted before the service
// broke tells nothing of how the service is now.
//
// Nothing in here reads a clock, waits, or knows goroutines; one caller at a time. Times are
// durations since an instant of the host's choice and never go back.
package machine
