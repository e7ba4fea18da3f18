// Package journaltest holds the contract of journals as tests: each
// implementation passes [Run], and nothing in it depends on how the journal
// works, on the absence of a network or on speed.
//
// [Flaky] puts a seeded bad day between a caller and any journal: stalls,
// refusals, and appends whose outcome is unknown, with and without effect.
package journaltest
