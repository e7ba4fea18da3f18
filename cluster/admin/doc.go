// Package admin is what a node shows to its operator: a listener of its own, apart from
// the one that clients use, with one section for each part of the system.
//
//	h := admin.New(admin.Entities(host), admin.Processors(runner), admin.Runtime("auction"), admin.Profiles())
//
//	GET /admin/v1/                             the sections
//	GET /admin/v1/shards                       each shard: owner, epoch, how far it is
//	GET /admin/v1/entities/{type}/{id}?at=7    one entity, at any version
//	GET /admin/v1/members                      the cluster, as the node knows it
//	GET /admin/v1/placement                    where each shard is and belongs, and why
//	GET /admin/v1/events?after=17              what happened since; waits for the next event
//	POST /admin/v1/orders/drain/{node}         and other orders
//	GET /admin/v1/processors                   each processor of the read side: lag, errors, what is parked
//	POST /admin/v1/processors/{name}/pause     and other verbs
//	GET /admin/v1/runtime                      the process: build, age, memory
//	GET /admin/v1/profiles/{name}              pprof
//
// In a cluster [Cluster] is a section as well. [Health] is a handler of its own, for the probes of
// whoever runs the process: GET /livez and /readyz.
//
// Answers are messages of skerry.admin.v1 as protobuf's JSON, errors are those of
// the gateway: code, reason, remedy. [Client] is the other side; it meets the same
// interface as the node, so a tool cannot tell the two apart.
//
// The listener knows no users and shows all data: bind it to loopback.
package admin
