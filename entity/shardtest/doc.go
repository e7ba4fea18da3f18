// Package shardtest lends the pure machine that runs a shard to tests of other packages, so that they can drive many of
// them, on many nodes, from one seed. It is for tests of this module only and promises nothing: what is named here
// changes without notice. Services test their entities with package entitytest.
//
// A machine is told what happens, with the time, and says what is to be done:
//
//	m := shardtest.New(config)
//	m.Start(now)
//	ready := m.Ready() // append this record, run that command, send these answers
//	…
//	m.Done()
package shardtest
