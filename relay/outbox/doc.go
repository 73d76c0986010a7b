// Package outbox reads what the triggers of schema relay (see package triggers) have written, in an order in which the
// changes of every row are right, and so that a position can be gone on from after a restart.
//
//	writers ─► relay.outbox_0..2 ─► look ─► relay.delivery(n, s1) ─► Handler
//	               ▲   turned over and emptied behind the window      ▲
//	               └──────────────── Replay ──────────────────────────┘
//
// # Deliveries
//
// A delivery is what one snapshot, s1, sees and the one before, s0, doesn't. Neither an id nor a transaction id as a
// watermark would do: ids become visible out of order, and waiting for the oldest transaction waits for every idle one.
// A delivery is recorded at the source, and on disk, before anything of it goes out, and reading it again by the same borders
// gives the same transactions in the same order: by their largest id. A transaction that changes a row again does so after the
// other's commit, so its largest id is larger. That needs a sequence with cache 1 and one reader (an advisory lock, and the
// delivery's number), and fails where a key is deferrable: such tables are refused.
//
// A position is (delivery, transaction): the delivery's number in the upper 40 bits, the transaction's place in it, from 1 on,
// in the lower 24, all ones for the last. Positions grow; they count within an epoch, which is a part of the source's identity.
//
// # The doorbell
//
// NOTIFY takes a lock on the whole server at commit, so writers ring only while the reader sleeps. An advisory lock says which:
//
//   - The reader, about to sleep: takes the lock, looks once more, sleeps holding it. It listens already.
//   - A writer, when its transaction has written to the outbox for the first time: is the lock free? If not, it notifies. It
//     takes the lock in shared mode for that and gives it back at once.
//
// No change is missed. A writer that found the lock taken notifies, and the reader hears of it when the change is visible. One
// that found it free had its transaction's id already, so that id is less than the next one as the reader reads it (age) when it
// has the lock. (It needn't be among those that a snapshot says ran: that stops at the last one that has ended.) Until a snapshot
// shows that all before that one have ended, and so has been looked with, a sleeping reader looks by itself now and then, at
// first after a millisecond, then every 50 ms; who began later rings. A transaction that has an id and is idle, in any database
// of the server, thus costs the reader 20 looks a second, and nobody else anything: writers hold no lock for the doorbell's sake,
// and nothing runs within their commit. A slow poll stands behind all of this, for a notification that is lost, one that isn't
// sent because the server's queue is half full, or a doorbell that is switched off.
//
// https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
// https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
package outbox
