// Package connectbreaker sends the calls of a Connect client through breakers, one for each
// procedure.
//
//	breakers, err := connectbreaker.New(connectbreaker.Config{Breakers: group})
//	client := paymentsv1connect.NewPaymentsClient(http.DefaultClient, url, connect.WithInterceptors(breakers))
//
// # What counts
//
// The codes unavailable, deadline_exceeded, internal, unknown and data_loss count as failures; so does the call-timeout. All others are
// answers: they show a service that is well. A call whose caller gave up does not count.
//
// A stream counts with its first message, or with its end if there is none before. From there it has
// no call-timeout. Give methods that take long before they answer, such as uploads, a longer CallTimeout under their id.
//
// A call that is refused has the code unavailable, one that the call-timeout ended deadline_exceeded; both wrap
// the *breaker.Error.
package connectbreaker
