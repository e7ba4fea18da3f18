// Package postgrestest runs a real PostgreSQL for tests: Debian's binaries, a data folder of its own, fsync on,
// on a Unix socket and a free port of loopback, stopped by its process id.
//
//	var server postgrestest.Shared
//
//	func TestMain(m *testing.M) {
//		code := m.Run()
//		server.Stop()
//		os.Exit(code)
//	}
//
//	func TestX(t *testing.T) {
//		db, err := postgres.Open(ctx, postgres.Config{URL: server.URL(t)})
//		…
//
// Each URL names a schema that nobody else has. A test that stops or crashes the server has one of its own
// ([ForTest]).
//
// A test is skipped, loudly, with -short, where SKERRY_SKIP names postgres, and where PostgreSQL is not installed;
// where SKERRY_REQUIRE names postgres it fails instead of the last. As root the server runs as the user postgres, which
// PostgreSQL insists on.
package postgrestest
