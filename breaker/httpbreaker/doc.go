// Package httpbreaker sends the requests of an http.Client through breakers.
//
//	group, err := breaker.NewGroup(breaker.GroupConfig{})
//	transport, err := httpbreaker.New(httpbreaker.Config{Breakers: group})
//	client := &http.Client{Transport: transport}
//
// # What counts
//
// A response of 500 and above counts as a failure, and so does an error of the network. A response of
// 400 to 499 is an answer: it shows a service that is well. A request whose caller gave up does not count.
//
// A response counts when its body has ended, not with its headers: a service that begins to answer and gets
// stuck is as sick as one that never begins. So the call-timeout bounds the reading of the body
// too, and a body that breaks off is a failure. Who closes a body early has had enough; that is no failure. As always,
// close every body: one that is not counts as timed out.
//
// A stream is different: it has no end to wait for. It counts with its headers, and from there has
// no call-timeout; see Config.Streams.
package httpbreaker
