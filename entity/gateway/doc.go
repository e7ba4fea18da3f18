// Package gateway serves entities to other processes, over any [entity.Caller], and is
// the client for Go on the other side. One definition is served in three ways:
//
//   - JSON over HTTP, for any client: a shell, a browser, a program in any language.
//   - gRPC, gRPC-Web and Connect, for each service of protobuf in [Config.Services]. Its rpcs
//     are commands of a type: no code is generated for them here.
//   - [Dial], for Go: a [Client] is an entity.Caller, so what works on a host works
//     from any process.
//
// All of them have the same keys, versions, limits and kinds of answer.
//
//	POST /v1/entities/{type}/{id}/{command}         send a command (or a query)
//	POST /v1/entities/{type}/{command}              the same to a new entity, whose id the service makes
//	GET  /v1/entities/{type}/{id}/{query}           ask a query, its fields as URL parameters
//	GET  /v1/entities/{type}/{id}/replies/{key}     ask for the answer of an earlier command
//	GET  /v1/entities                               all types and commands, with examples
//	POST /{package.Service}/{Rpc}                   gRPC, gRPC-Web, Connect; the id is in Skerry-Entity-Id
//	POST /skerry.api.v1.Entities/Call               what [Dial] speaks
//
// A body is the command's message as protobuf's JSON; an empty one is the empty
// message. Slashes in an id are written %2F. The same reply is always the same bytes.
//
// # Headers
//
//	Idempotency-Key: KEY    names the command, so that sending it again is safe
//	If-Match: "7"           run only at this version; "0": only if the entity is new
//	Prefer: respond-async   answer 202 at once, with the place of the reply as Location
//	Skerry-Timeout: 2s      wait no longer than this (default 5 s; more than 60 s is cut to 60 s)
//	Skerry-Token: …         queries: answer from a state that has seen this
//	Skerry-Local: true      queries: a faster answer that may be stale
//	Traceparent: 00-…       W3C trace, stored with the command
//
//	ETag: "8"               in answers: the entity's version
//	Skerry-Token: …         in answers: what a read model must have passed to show this
//	Skerry-Repeated: true   in answers: this command had been answered before
//	Skerry-Entity-Id: …     in answers: the id that the service made, with 201
//
// A made id follows from type, principal and key: a repeat reaches the same entity. Over gRPC
// and Connect, the same names are metadata, and the protocol's own timeout is used.
//
// # Answers
//
//	200, 201  the reply; all that the command did is durable
//	202       no answer yet: it promises nothing
//	409       the entity said no: the code is its own
//	400 404 405 413 415 422   the request is wrong; sent again, it stays so
//	412       the entity is at another version, told in the body and as ETag
//	429 503   it did not run; Retry-After tells when to try again
//	504       it may have run: send it again with the same key
//	500       a defect; the code tells whether it may have run
//
// Errors are JSON objects with code, reason and remedy. Codes of the runtime
// begin with "skerry/". Over gRPC and Connect each kind has a code of the protocol, with
// that object as its detail; only UNAVAILABLE and RESOURCE_EXHAUSTED, which say that the
// command did not run, are codes that clients repeat by habit.
package gateway
