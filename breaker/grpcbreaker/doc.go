// Package grpcbreaker sends the calls of a gRPC client through breakers, one for each method.
//
//	breakers, err := grpcbreaker.New(grpcbreaker.Config{Breakers: group})
//	conn, err := grpc.NewClient(target, breakers.DialOptions()...)
//
// # What counts
//
// The codes Unavailable, DeadlineExceeded, Internal, Unknown and DataLoss count as failures; so does the call-timeout. All others are
// answers: they show a service that is well. A call whose caller gave up does not count.
//
// A stream counts with its first message, or with its end if there is none before. From there it has
// no call-timeout. Give methods that take long before they answer, such as uploads, a longer CallTimeout under their id.
//
// A call that is refused has the status Unavailable, one that the call-timeout ended DeadlineExceeded; both wrap
// the *breaker.Error.
package grpcbreaker
