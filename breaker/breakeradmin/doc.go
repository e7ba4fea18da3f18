// Package breakeradmin shows the breakers of a service to operators, as JSON.
//
// [Section] is an http.Handler that fits the admin listener as a section of its own:
//
//	admin.New(admin.Entities(host), breakeradmin.New(group))
//
//	GET /admin/v1/breakers         all breakers
//	GET /admin/v1/breakers/{id}    one, with its settings and last transitions; a slash in an id is written %2F
//
// Names and forms are those of protobuf's JSON: camel case, times as RFC 3339, durations in seconds
// such as 1.500s, 64-bit numbers as strings.
package breakeradmin
