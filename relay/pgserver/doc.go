// Package pgserver runs private Postgres servers for tests and the demo: no network beyond 127.0.0.1, no container,
// no service of the system touched. It needs Postgres' own programs and nothing else.
//
//	template (initdb once per version) ──copy──► <dir>/data ──postgres -D──► 127.0.0.1:port
//	                                             <dir>/socket, <dir>/log, <dir>/lock
//
// A server's folder is locked by the process that made it. The kernel drops the lock with the process, so whoever
// comes next can tell a folder in use from one that a crash left behind, and removes the latter.
package pgserver
