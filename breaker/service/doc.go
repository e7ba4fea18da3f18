// Package service calls other services by name.
//
//	payments, err := service.New(service.Config{
//		Resolver: service.Static{"payments": {"10.0.0.7:8080", "10.0.0.8:8080"}},
//		Breakers: group,
//	})
//	client := &http.Client{Transport: payments}
//	resp, err := client.Post("http://payments/v1/entities/account/ann/Charge", "application/json", body)
//
// [Client] is an http.RoundTripper. It takes the URL's host for the name of a service, has a [Resolver] tell the
// endpoints, picks one, and puts a breaker before each method of each service: payments/Charge. Clients of
// Connect use it as they are, with the service's name in the base URL.
//
// # Where a request goes
//
// Of two endpoints chosen at random, the one with fewer requests under way gets it. One that
// failed rests for a second, unless there is no other. A request that did not
// leave, because nobody listens there, goes to another endpoint at once. One that may have been
// executed is sent again only if that is safe, which is so with a key and with methods such as GET, and within a
// budget. All that is one call to the breaker: it learns what the service as a whole can do.
//
// # Who tells the endpoints
//
// [Static] has them from the configuration, [SRV] from DNS, and [Members] from the service's own cluster, one node of which is enough
// to find the others. Behind a proxy or a load balancer that the service is reached by, use Static. A [ResolverFunc] is anything else.
//
// # What is passed on
//
// The time that is left, as Skerry-Timeout; the key of a command, as Idempotency-Key ([WithKey]); the
// trace, as Traceparent ([WithTrace]). Headers that a request has already stay as they are. Commands across
// services go by key: whoever does not know whether one was executed sends it again, and the entity gives its
// first answer.
package service
