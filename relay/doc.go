// Package relay holds what every part of the relay talks about: relations and their columns, tuples, positions,
// rules, principals, problems. It imports the standard library alone.
//
// # Rows, from a source to a page
//
//	Postgres ─► wal ────► capture ─► journal         raw messages, for who resumes
//	triggers ─► outbox ──┘   │
//	                         └─► hub ─► ring ─► session ─► ws ─► browser
//	                              ▲  filters    ready frames, made once a shape
//	            snapshot ─► load ─┘
//
//	warehouse, publication   what there is, under which name, and what the stream must hold
//	rule, predicate          who sees which rows and columns of it; what clients filter by
//	value                    tuple bytes to JSON bytes
//	serve                    the whole
//
// # Guarantees
//
// A subscription's rows join its changes exactly: the shape is registered at a position of the stream, the snapshot
// is taken after it and must see every transaction that the stream has brought, and of the changes that follow those
// are left out that the snapshot has seen, until the stream has passed a position taken after the snapshot.
//
// A cursor names the end of a transaction. What follows it is in the journal's window, or in the write-ahead log behind
// an anchor, or the answer is a fresh snapshot. Nothing is sent twice and nothing is left out.
//
// What a row is to a subscription is decided by the same code in snapshot, stream and replay: by the rules first, then by
// the client's filter, on the old row and on the new one. Nothing of a row that the rules hide is in any frame. An edit of
// the rules is in force when every session has looked at its subscriptions anew, before which none makes another frame.
//
// Among a connection's live subscriptions one source's transactions come in commit order, because every frame has a
// number in its source and a connection merges its shapes by it.
//
// Nothing waits for a client. Rings and journals are bounded in bytes; who needs what is no longer there starts over.
package relay
