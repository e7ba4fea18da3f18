// Package shard is the logic of one shard as a pure machine: no clock, no I/O, no
// goroutine. Its host tells it what happened, with the time, and does what
// [Machine.Ready] asks for; one seed can so drive it through millions of interleavings.
//
// The way of a command:
//
//	Command ─► queue of its entity ─► Handle ─► (actor runs the handler) ─► Handled
//	        ─► gathered with others ─► Slot ─► Append ─► Appended ─► Answer
//
// The rules, each told in the file that keeps it:
//
//   - claim.go: a shard serves only after its claim is in the log, and stops when it finds another's.
//   - command.go: one command at a time per entity, due timers first, then key, version, handler.
//   - append.go: one append in flight; what comes meanwhile gathers. An unknown outcome is
//     resolved by the same append again.
//   - confirm.go: an answer leaves when what it saw is committed and something sent
//     after its handler ran has shown that the shard is still ours.
//   - window.go: what an entity remembers of the keys it has answered.
//   - timer.go: pending timers are state; firing one is a command like any other.
//   - derive.go: pages, timer index and snapshots follow from committed entries only.
//   - late.go: entities whose pages cannot be written fall behind alone.
//   - recover.go: entities come and go; what the journal's pages do not hold yet is pinned here.
package shard
