// Package bench measures the relay on a database that it fills, with the limit that the same machine sets beside each
// figure, in interleaved runs.
//
// A backlog comes about while the relay's walsender stands still:
//
//	halt the walsender ─► commit the rows ─► pg_recvlogical drains a slot of its own ─► let go: the relay drains its slot
//
// so the relay is measured as it runs: slots, stream, journal, hub, sockets, and a client that is subscribed and live.
// Which of the two drains first alternates.
//
// What capture costs those who write is measured by pgbench, on a server that syncs to its disk:
//
//	round: no capture ─► logical ─► triggers ─► … ─► pg_notify with the row     the next round goes backwards
//
// each with what takes its changes in, as far as frames that nobody reads, so that its share of the machine counts too.
package bench
