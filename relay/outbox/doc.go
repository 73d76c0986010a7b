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
//   - A writer, at its commit (a deferred trigger on the first row that it wrote): tries the lock in shared mode. If it
//     gets it, it keeps it until the commit is over. If not, it notifies.
//   - The reader, about to sleep: takes the lock exclusively, looks once more, sleeps holding it. It listens already.
//
// No change is missed. A writer that got the lock holds it until its transaction is visible to all later snapshots
// (CommitTransaction in xact.c ends the transaction before it releases locks), so the reader gets the lock only then, and its
// look after that sees the change. A writer that didn't get it notifies: the lock was held or being waited for by the reader,
// who listens, and a notification is sent to it when the change is visible. Writers hold the lock during their commit and not
// during their transaction, so an idle transaction neither keeps the reader awake nor goes unheard. Where a commit takes long
// (a synchronous standby that is away, a prepared transaction) the reader stops waiting for the lock and looks by itself until
// it gets it. A slow poll stands behind all of this, for a notification that is lost or a doorbell that is switched off.
//
// https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
// https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
package outbox
