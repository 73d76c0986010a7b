// Package capture follows one source database by one way of capture: it makes the source ready, reads what changes into
// the hub, watches the catalog, and brings streams in by snapshots and replays.
//
//	          control connection: checks, catalog watch, anchors
//	source ─┬───────────────────────────────────────────────────
//	        ├ replication connection ─► journal ─► hub            Capture
//	        ├ outbox that triggers fill ─────────► hub            Outbox
//	        └ pool: snapshots ─► loads
//
// Capture is logical replication, Outbox capture by triggers; a table is captured one way, as the source's own catalog
// says (relay.captured), and goes over from one to the other while the relay runs. Between the two there is no order: each
// has a hub, and positions, of its own. What they have in common is base.
//
// Either outlives every failure of its source: it connects again with growing pauses. While it can't, it is not available,
// and says why. One that has nothing to capture is idle and needs nothing of the source but a session.
package capture
