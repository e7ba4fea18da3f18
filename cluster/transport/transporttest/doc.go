// Package transporttest is the contract of a [transport.Transport], as a suite of tests that each implementation passes.
//
//	transporttest.Suite{Start: func(t *testing.T, cfg transport.Config) transport.Transport { … }}.Run(t)
package transporttest
